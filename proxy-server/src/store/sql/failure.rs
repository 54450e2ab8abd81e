use crate::store::{ChangeError, StoreError};

/// Why an operation came to nothing, before it has a name.
#[derive(Debug)]
pub(super) enum Failure {
    Database(sqlx::Error),
    Other(StoreError),
}

impl Failure {
    /// Names what was being done.
    pub(super) fn doing(doing: &'static str) -> impl FnOnce(Self) -> StoreError {
        move |failure| match failure {
            Self::Database(source) => StoreError::Statement { doing, source },
            Self::Other(error) => error,
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Other(error)
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        Self::Other(StoreError::Refused(error))
    }
}
