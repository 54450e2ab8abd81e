use std::fmt;

use super::SignInRefused;

/// Why a JWT led to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OidcError {
    /// The token is not what it must be.
    Refused(JwtRefused),
    /// The provider cannot be asked for what is needed to judge it.
    Unavailable(ProviderUnavailable),
    /// Whoever came back from the provider is not signed in.
    SignIn(SignInRefused),
}

/// What is wrong with a token; each check has its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtRefused {
    /// It is longer than any token may be.
    TooLarge {
        /// Its bytes.
        found: usize,
        /// The most.
        max: usize,
    },
    /// It does not have three parts of base64url.
    Form,
    /// Its header is no JSON object with an algorithm.
    Header,
    /// `alg` is `none`: nobody signed it.
    AlgNone,
    /// `alg` is an HMAC: whoever has our public key could have made it.
    AlgSymmetric {
        /// The algorithm.
        found: String,
    },
    /// `alg` is one that is not taken.
    AlgNotAllowed {
        /// The algorithm.
        found: String,
    },
    /// It demands an extension that nobody here knows (`crit`, RFC 7515 section 4.1.11).
    Critical,
    /// `typ` says that it is something other than an access token or an ID token.
    Type {
        /// The type.
        found: String,
    },
    /// It does not say by which key it is signed.
    NoKeyId,
    /// The provider has no such key.
    UnknownKey {
        /// The key's id.
        kid: String,
    },
    /// The provider's key of this id is not for this algorithm.
    KeyConfusion {
        /// The key's id.
        kid: String,
        /// The token's algorithm.
        token: &'static str,
        /// What the key is for.
        key: String,
    },
    /// The signature does not hold.
    Signature,
    /// What was signed is no JSON object.
    Claims,
    /// A claim is missing.
    MissingClaim {
        /// Its name.
        name: &'static str,
    },
    /// A claim is not of its type.
    BadClaim {
        /// Its name.
        name: String,
    },
    /// Somebody else issued it.
    Issuer {
        /// Who must.
        expected: String,
        /// Who did.
        found: String,
    },
    /// It is for another service.
    Audience {
        /// For whom it must be.
        expected: String,
        /// For whom it is.
        found: String,
    },
    /// It was given to another client.
    AuthorizedParty {
        /// Our client's id.
        expected: String,
        /// `azp`.
        found: String,
    },
    /// It is of another sign-in.
    Nonce,
    /// Its time is over.
    Expired {
        /// `exp`, in seconds since 1970.
        at: i64,
    },
    /// Its time has not come.
    NotYet {
        /// `nbf`, in seconds since 1970.
        from: i64,
    },
    /// Its holder has no role here.
    NoRole,
    /// It names no workloads.
    NoWorkloads,
}

impl JwtRefused {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "jwt-too-large",
            Self::Form => "jwt-form",
            Self::Header => "jwt-header",
            Self::AlgNone => "jwt-alg-none",
            Self::AlgSymmetric { .. } => "jwt-alg-symmetric",
            Self::AlgNotAllowed { .. } => "jwt-alg-not-allowed",
            Self::Critical => "jwt-critical",
            Self::Type { .. } => "jwt-type",
            Self::NoKeyId => "jwt-no-key-id",
            Self::UnknownKey { .. } => "jwt-unknown-key",
            Self::KeyConfusion { .. } => "jwt-key-confusion",
            Self::Signature => "jwt-signature",
            Self::Claims => "jwt-claims",
            Self::MissingClaim { .. } => "jwt-missing-claim",
            Self::BadClaim { .. } => "jwt-bad-claim",
            Self::Issuer { .. } => "jwt-issuer",
            Self::Audience { .. } => "jwt-audience",
            Self::AuthorizedParty { .. } => "jwt-authorized-party",
            Self::Nonce => "jwt-nonce",
            Self::Expired { .. } => "jwt-expired",
            Self::NotYet { .. } => "jwt-not-yet-valid",
            Self::NoRole => "no-role",
            Self::NoWorkloads => "no-workloads",
        }
    }

    /// Whether the token is genuine and its holder simply has no rights here.
    pub fn is_genuine(&self) -> bool {
        matches!(self, Self::NoRole | Self::NoWorkloads)
    }
}

impl fmt::Display for JwtRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { found, max } => write!(f, "the token has {found} bytes; at most {max} are read"),
            Self::Form => f.write_str("the token is neither an API token nor a signed JWT"),
            Self::Header => f.write_str("the JWT's header cannot be read"),
            Self::AlgNone => f.write_str("the JWT is not signed (alg none)"),
            Self::AlgSymmetric { found } => {
                write!(f, "the JWT is signed with {found:?}, which everybody who has the public key can do")
            }
            Self::AlgNotAllowed { found } => {
                write!(f, "expected a JWT signed with RS256, PS256, ES256, ES384 or EdDSA; found {found:?}")
            }
            Self::Critical => f.write_str("the JWT demands an extension that is not known here"),
            Self::Type { found } => write!(f, "expected a JWT of type JWT or at+jwt; found {found:?}"),
            Self::NoKeyId => f.write_str("the JWT does not name its key (kid)"),
            Self::UnknownKey { kid } => write!(f, "the provider has no key {kid:?}"),
            Self::KeyConfusion { kid, token, key } => {
                write!(f, "the JWT is signed with {token}, and the provider's key {kid:?} is for {key}")
            }
            Self::Signature => f.write_str("the JWT's signature does not hold"),
            Self::Claims => f.write_str("the JWT's claims cannot be read"),
            Self::MissingClaim { name } => write!(f, "the JWT has no claim {name}"),
            Self::BadClaim { name } => write!(f, "the JWT's claim {name} cannot be read"),
            Self::Issuer { expected, found } => {
                write!(f, "expected a JWT of the issuer {expected:?}; found {found:?}")
            }
            Self::Audience { expected, found } => {
                write!(f, "expected a JWT for the audience {expected:?}; found {found}")
            }
            Self::AuthorizedParty { expected, found } => {
                write!(f, "expected a JWT that was given to {expected:?}; found one for {found}")
            }
            Self::Nonce => f.write_str("the JWT is of another sign-in than this one (nonce)"),
            Self::Expired { at } => write!(f, "the JWT expired at {at} (seconds since 1970)"),
            Self::NotYet { from } => write!(f, "the JWT counts from {from} on (seconds since 1970)"),
            Self::NoRole => {
                f.write_str("the provider knows you, and none of what it says gives you a role here")
            }
            Self::NoWorkloads => f.write_str("the provider knows you, and names no workloads for you"),
        }
    }
}

impl std::error::Error for JwtRefused {}

/// Why the provider cannot be asked, or gives nothing of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderUnavailable {
    /// It did not answer in time.
    Deadline,
    /// It could not be reached, or the connection broke.
    Connection {
        /// What was asked for.
        url: String,
        /// All that is known of the cause.
        cause: String,
    },
    /// It answered with something other than 200.
    Status {
        /// What was asked for.
        url: String,
        /// What it answered.
        status: u16,
    },
    /// Its answer is longer than is read.
    TooLarge {
        /// What was asked for.
        url: String,
        /// The most bytes.
        max: usize,
    },
    /// Its answer is not the JSON that it must be.
    Json {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// It gives tokens, and signs nobody in: its discovery document lacks this.
    NoEndpoint {
        /// What is missing.
        name: &'static str,
    },
    /// It took a code, and gave no ID token for it.
    NoIdToken,
    /// It does not take this proxy for its client.
    ClientRefused {
        /// Its word for why (RFC 6749 section 5.2).
        error: String,
    },
    /// It is so slow that too many codes are being redeemed.
    TooManyCodes,
    /// Its discovery document speaks of somebody else.
    IssuerDiffers {
        /// The configured issuer.
        expected: String,
        /// The document's.
        found: String,
    },
    /// Its discovery document leads to where nothing may come from or go to.
    Elsewhere {
        /// Where.
        found: String,
    },
    /// It has no key that could sign a token that is taken here.
    NoKeys,
    /// It has more keys than are kept.
    TooManyKeys {
        /// How many.
        found: usize,
        /// The most.
        max: usize,
    },
}

impl fmt::Display for ProviderUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline => f.write_str("the OpenID provider does not answer in time"),
            Self::Connection { url, cause } => write!(f, "cannot fetch {url}: {cause}"),
            Self::Status { url, status } => write!(f, "{url} answers with status {status}"),
            Self::TooLarge { url, max } => write!(f, "{url} gives more than {max} bytes"),
            Self::Json { url, cause } => write!(f, "{url} gives something else: {cause}"),
            Self::IssuerDiffers { expected, found } => {
                write!(f, "discovery of {expected:?} leads to the issuer {found:?}")
            }
            Self::NoEndpoint { name } => write!(f, "the OpenID provider signs nobody in: it has no {name}"),
            Self::NoIdToken => f.write_str("the OpenID provider took a code and gave no ID token for it"),
            Self::ClientRefused { error } => {
                write!(f, "the OpenID provider does not take this proxy for its client: {error}")
            }
            Self::TooManyCodes => {
                f.write_str("the OpenID provider is slow, and too many sign-ins wait for it")
            }
            Self::Elsewhere { found } => {
                write!(f, "expected URLs over TLS in the provider's discovery document; found {found:?}")
            }
            Self::NoKeys => f.write_str("the OpenID provider has no key for signatures that are taken here"),
            Self::TooManyKeys { found, max } => {
                write!(f, "the OpenID provider has {found} keys; at most {max} are kept")
            }
        }
    }
}

impl std::error::Error for ProviderUnavailable {}
