/// What the log says of a store that does not answer: one line when trouble
/// begins, one when it changes, one when it ends.
pub(super) enum Trouble {
    None,
    Standing(String),
}

impl Trouble {
    pub(super) fn next(self, looked: Result<(), String>) -> Self {
        match (self, looked) {
            (Self::None, Ok(())) => Self::None,
            (Self::Standing(_), Ok(())) => {
                tracing::info!(code = "store-answers", "the store answers again");
                Self::None
            }
            (Self::Standing(was), Err(is)) if was == is => Self::Standing(was),
            (_, Err(error)) => {
                tracing::error!(
                    code = "store-silent",
                    error,
                    "the policy cannot be followed; after 2 s nothing new is admitted"
                );
                Self::Standing(error)
            }
        }
    }
}
