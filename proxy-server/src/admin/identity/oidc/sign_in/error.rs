use std::fmt;

use super::super::jwt::shortened;

/// Why somebody who came back from the provider is not signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignInRefused {
    /// The proxy is no client of a provider.
    NotConfigured,
    /// The provider says no, or the person did not want to.
    AtProvider {
        /// Its word for why (RFC 6749 section 4.1.2.1), as far as it is one.
        error: String,
    },
    /// The redirect is of another provider, or of one that hides its name (RFC 9207 section 2.4).
    Issuer {
        /// Who must have sent it.
        expected: String,
        /// Who says to have.
        found: Option<String>,
    },
    /// The provider does not take the code: it is wrong, used, too old, or of another attempt.
    Code,
}

impl SignInRefused {
    /// The provider's word, which nobody has checked.
    pub(super) fn at_provider(error: &str) -> Self {
        Self::AtProvider { error: word(error) }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotConfigured => "sign-in-not-configured",
            Self::AtProvider { .. } => "sign-in-refused",
            Self::Issuer { .. } => "sign-in-issuer",
            Self::Code => "sign-in-code",
        }
    }
}

impl fmt::Display for SignInRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => f.write_str("nobody signs in at an OpenID provider here"),
            Self::AtProvider { error } => write!(f, "the OpenID provider signed nobody in: {error}"),
            Self::Issuer { expected, found: Some(found) } => {
                write!(f, "expected an answer of the provider {expected:?}; found one of {found:?}")
            }
            Self::Issuer { expected, found: None } => {
                write!(f, "expected an answer that names the provider {expected:?}; found none of that")
            }
            Self::Code => f.write_str("the OpenID provider does not take this code"),
        }
    }
}

impl std::error::Error for SignInRefused {}

/// Errors of RFC 6749 are words of ASCII; anything else is not repeated.
pub(super) fn word(error: &str) -> String {
    match error.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
        true => shortened(error),
        false => "an error that is no word".to_owned(),
    }
}
