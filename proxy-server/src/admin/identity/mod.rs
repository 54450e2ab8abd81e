//! Who may do what: from credentials to a [`Principal`].
//!
//! ```text
//!   headers ─┐                    ┌─ token ───────► Tokens (the store, by hash)
//!            ├─► Credentials ─────┼─ oidc ────────► keys of the provider, cached
//!   TLS ─────┘        │           └─ certificate ─► rules of the configuration
//!                     ▼
//!               Authenticator ──── Ok ───► Principal ── may(permission, workload) ──► Ok | Denied
//!                 │        │
//!             throttle   Err(AuthError) ──► FailedLogins (audit, sampled)
//! ```
//!
//! A [`Principal`] in hand means that somebody proved who he is; its
//! constructor is private to this module. What it may do follows from its
//! [`Roles`] (what kind of act) and its [`Scope`] (on which workloads), and
//! neither has a value that allows by default: a set of roles is never empty,
//! and whoever is mapped to no role is no principal.
//!
//! Not here: logins of the web page (`admin/web/`: each stands for [`Credentials`]), and the rule that nobody approves his
//! own change: the store asks for it under the change's lock, by each token's [`Lineage`].

mod authenticator;
mod certificate;
mod credentials;
mod error;
mod known_good;
mod lineage;
mod oidc;
mod permission;
mod principal;
mod record;
mod role;
mod sampler;
mod scope;
mod subject;
mod throttle;
mod token;

pub use authenticator::Authenticator;
pub use certificate::{
    BadCertificateRules, CertificateName, CertificateRefused, CertificateRule, CertificateRules, NotABundle,
    client_verifier,
};
pub use credentials::{Bearer, Credentials, MAX_BEARER_BYTES};
pub use error::AuthError;
pub use lineage::{BadLineage, Lineage};
pub use oidc::{
    BadAnswer, BadIssuer, BadOidcConfig, BadSignInConfig, ClaimPath, ClientSecret, IdToken, Issuer,
    JwtRefused, Oidc, OidcConfig, OidcError, ProviderUnavailable, PublicUrl, RedirectAnswer, RoleMap,
    SignInAttempt, SignInConfig, SignInRefused, WorkloadsFrom,
};
pub use permission::Permission;
pub use principal::{Denied, Disclosure, Grant, Principal};
pub use record::{
    BadTokenId, BadTokenName, TokenId, TokenLife, TokenName, TokenRecord, TokenUnusable, Tokens,
};
pub use role::{BadRoles, Role, Roles};
pub use sampler::{FailedLogin, FailedLogins};
pub use scope::{BadScope, Scope};
pub use subject::{BadSubject, Subject};
pub use throttle::ClientNetwork;
pub use token::{ApiToken, BadToken, NoRandomness, TokenHash};

#[cfg(test)]
pub(in crate::admin) use oidc::tests as oidc_tests;
#[cfg(test)]
mod tests;
