use std::{fmt, time::Duration};

use super::{
    BadToken, CertificateRefused, JwtRefused, MAX_BEARER_BYTES, OidcError, ProviderUnavailable,
    SignInRefused, Subject, TokenId, TokenUnusable,
};
use crate::store::StoreError;

/// Why a request's sender is nobody.
#[derive(Debug)]
pub enum AuthError {
    /// The request brought nothing.
    NoCredentials,
    /// It brought two things.
    TwoCredentials,
    /// Its `Authorization` header is no bearer token.
    Header,
    /// Its token is longer than any is.
    TooLong {
        /// Its bytes.
        found: usize,
    },
    /// It looks like an API token and was mistyped or cut.
    Mistyped(BadToken),
    /// Nobody made this API token.
    UnknownToken,
    /// The API token is over.
    UnusableToken {
        /// Which token.
        id: TokenId,
        /// Why.
        reason: TokenUnusable,
    },
    /// It is no API token, and no OpenID provider is configured.
    NotAnApiToken,
    /// The JWT is not what it must be.
    Jwt(JwtRefused),
    /// The certificate is genuine and nobody's.
    Certificate(CertificateRefused),
    /// Too many logins failed from there.
    TooManyFailures {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The store does not say whose token it is.
    Store(StoreError),
    /// The store does not answer in time.
    StoreDeadline,
    /// The OpenID provider cannot be asked.
    Provider(ProviderUnavailable),
    /// Whoever came back from the OpenID provider is not signed in.
    SignIn(SignInRefused),
}

impl AuthError {
    /// The stable code, for caller and audit.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCredentials => "no-credentials",
            Self::TwoCredentials => "two-credentials",
            Self::Header => "authorization-malformed",
            Self::TooLong { .. } => "credentials-too-long",
            Self::Mistyped(_) => "token-mistyped",
            Self::UnknownToken => "token-unknown",
            Self::UnusableToken { reason: TokenUnusable::Expired { .. }, .. } => "token-expired",
            Self::UnusableToken { reason: TokenUnusable::Revoked { .. }, .. } => "token-revoked",
            Self::NotAnApiToken => "oidc-not-configured",
            Self::Jwt(refused) => refused.code(),
            Self::Certificate(refused) => refused.code(),
            Self::TooManyFailures { .. } => "too-many-failures",
            Self::Store(_) | Self::StoreDeadline => "store-unavailable",
            Self::Provider(_) => "oidc-unavailable",
            Self::SignIn(refused) => refused.code(),
        }
    }

    /// The HTTP status. 401 means: come with other credentials; 403: these are
    /// genuine and have no rights here; 429: wait; 503: it is not your fault.
    pub fn status(&self) -> u16 {
        match self {
            Self::TwoCredentials | Self::Header | Self::TooLong { .. } => 400,
            Self::Jwt(refused) if refused.is_genuine() => 403,
            Self::Certificate(_) | Self::SignIn(SignInRefused::AtProvider { .. }) => 403,
            Self::SignIn(SignInRefused::NotConfigured) => 404,
            Self::NoCredentials
            | Self::Mistyped(_)
            | Self::UnknownToken
            | Self::UnusableToken { .. }
            | Self::NotAnApiToken
            | Self::Jwt(_)
            | Self::SignIn(SignInRefused::Issuer { .. } | SignInRefused::Code) => 401,
            Self::TooManyFailures { .. } => 429,
            Self::Store(_) | Self::StoreDeadline | Self::Provider(_) => 503,
        }
    }

    /// The header `WWW-Authenticate` of a 401 (RFC 9110 section 11.6.1, RFC 6750 section 3).
    pub fn www_authenticate(&self) -> Option<&'static str> {
        match self {
            Self::NoCredentials => Some("Bearer realm=\"countersign\""),
            _ if self.status() == 401 => Some("Bearer realm=\"countersign\", error=\"invalid_token\""),
            _ => None,
        }
    }

    /// The header `Retry-After` in whole seconds, of a 429.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            // Rounded up: a second too early would be refused again.
            Self::TooManyFailures { retry_after } => {
                Some(retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0))
            }
            _ => None,
        }
    }

    /// Whose credentials they were, when that is known.
    pub fn subject(&self) -> Option<Subject> {
        match self {
            Self::UnusableToken { id, .. } => Some(Subject::token(id)),
            _ => None,
        }
    }

    /// Whether it counts as a failed login. What the proxy or the provider
    /// cannot do is no failure of the client, and whoever did not sign in at the
    /// provider has tried nothing here.
    pub(super) fn is_failed_login(&self) -> bool {
        matches!(self.status(), 401 | 403) && !matches!(self, Self::SignIn(SignInRefused::AtProvider { .. }))
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials => {
                f.write_str("send an API token or a JWT as bearer token, or a client certificate")
            }
            Self::TwoCredentials => f.write_str(
                "expected one bearer token or one client certificate; found more than one of them",
            ),
            Self::Header => f.write_str("the Authorization header is not Bearer and a token"),
            Self::TooLong { found } => {
                write!(f, "the bearer token has {found} bytes; at most {MAX_BEARER_BYTES} are read")
            }
            Self::Mistyped(bad) => bad.fmt(f),
            Self::UnknownToken => f.write_str("nobody made this API token"),
            Self::UnusableToken { reason, .. } => reason.fmt(f),
            Self::NotAnApiToken => {
                f.write_str("this is no API token (cst_…), and no OpenID provider is configured")
            }
            Self::Jwt(refused) => refused.fmt(f),
            Self::Certificate(refused) => refused.fmt(f),
            Self::TooManyFailures { .. } => f.write_str("too many logins failed from your network: wait"),
            Self::Store(_) | Self::StoreDeadline => f.write_str("the store cannot be asked now: try again"),
            Self::SignIn(refused) => refused.fmt(f),
            Self::Provider(_) => f.write_str("the OpenID provider cannot be asked now: try again"),
        }
    }
}

impl From<OidcError> for AuthError {
    fn from(error: OidcError) -> Self {
        match error {
            OidcError::Refused(refused) => Self::Jwt(refused),
            OidcError::Unavailable(unavailable) => Self::Provider(unavailable),
            OidcError::SignIn(refused) => Self::SignIn(refused),
        }
    }
}

impl std::error::Error for AuthError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(source) => Some(source),
            Self::Provider(source) => Some(source),
            // The others are shown whole by Display.
            _ => None,
        }
    }
}
