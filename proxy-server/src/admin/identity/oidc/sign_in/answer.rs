use std::fmt;

use zeroize::Zeroizing;

/// What a browser brings back from the provider (RFC 6749 section 4.1.2 and
/// 4.1.2.1), as far as its form goes: anybody can send one.
pub struct RedirectAnswer {
    state: Zeroizing<String>,
    /// RFC 9207 section 2.
    pub(super) issuer: Option<String>,
    pub(super) told: Told,
}

/// What it says.
pub(super) enum Told {
    /// The person signed in.
    Code(Zeroizing<String>),
    /// Or not, and the provider's word for why.
    Error(String),
}

impl RedirectAnswer {
    /// From the fields of the redirect's query.
    ///
    /// # Errors
    /// [`BadAnswer`].
    pub fn read(fields: impl IntoIterator<Item = (String, String)>) -> Result<Self, BadAnswer> {
        let (mut state, mut issuer, mut code, mut error) = (None, None, None, None);
        for (name, value) in fields {
            let (field, name) = match name.as_str() {
                "state" => (&mut state, "state"),
                "iss" => (&mut issuer, "iss"),
                "code" => (&mut code, "code"),
                "error" => (&mut error, "error"),
                // RFC 6749 section 4.1.2: "The client MUST ignore unrecognized response parameters."
                _ => continue,
            };
            if value.len() > LONGEST {
                return Err(BadAnswer::TooLong { name });
            }
            // RFC 6749 section 3.1: parameters "MUST NOT be included more than once".
            if field.replace(value).is_some() {
                return Err(BadAnswer::Twice { name });
            }
        }
        let told = match (code, error) {
            (Some(code), None) => Told::Code(Zeroizing::new(code)),
            (None, Some(error)) => Told::Error(error),
            (None, None) | (Some(_), Some(_)) => return Err(BadAnswer::NeitherCodeNorError),
        };
        let state = Zeroizing::new(state.ok_or(BadAnswer::NoState)?);
        Ok(Self { state, issuer, told })
    }

    /// For which attempt it says it is.
    pub fn state(&self) -> &str {
        &self.state
    }
}

/// Why a query is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAnswer {
    /// It names no attempt.
    NoState,
    /// It has neither a code nor an error, or both.
    NeitherCodeNorError,
    /// A field stands there more than once.
    Twice {
        /// Which.
        name: &'static str,
    },
    /// A field is longer than any provider's.
    TooLong {
        /// Which.
        name: &'static str,
    },
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoState => f.write_str("the provider's answer has no state"),
            Self::NeitherCodeNorError => f.write_str("expected a code or an error in the provider's answer"),
            Self::Twice { name } => write!(f, "the provider's answer has {name} more than once"),
            Self::TooLong { name } => write!(f, "{name} has more than {LONGEST} bytes"),
        }
    }
}

impl std::error::Error for BadAnswer {}

/// Codes of the large providers have some hundred bytes; some are JWEs of more than 1 KiB.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)]) -> Result<String, BadAnswer> {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        RedirectAnswer::read(fields).map(|answer| match answer.told {
            Told::Code(code) => format!("{} code {}", *answer.state, *code),
            Told::Error(error) => format!("{} error {error}", *answer.state),
        })
    }

    #[test]
    fn an_answer_is_a_code_or_an_error_once() {
        assert_eq!(read(&[("state", "s"), ("code", "c"), ("x", "1"), ("x", "2")]).unwrap(), "s code c");
        assert_eq!(read(&[("error", "access_denied"), ("state", "s")]).unwrap(), "s error access_denied");
        assert_eq!(read(&[("code", "c")]), Err(BadAnswer::NoState));
        assert_eq!(read(&[("state", "s")]), Err(BadAnswer::NeitherCodeNorError));
        let both = [("state", "s"), ("code", "c"), ("error", "e")];
        assert_eq!(read(&both), Err(BadAnswer::NeitherCodeNorError));
        for name in ["state", "code", "iss"] {
            let twice = [("state", "s"), ("code", "c"), ("iss", "i"), (name, "other")];
            assert_eq!(read(&twice), Err(BadAnswer::Twice { name }));
        }
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(read(&[("state", "s"), ("code", &long)]), Err(BadAnswer::TooLong { name: "code" }));
    }
}
