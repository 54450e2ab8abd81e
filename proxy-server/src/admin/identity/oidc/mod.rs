//! Administrators whom an OpenID Connect provider names, by signed JWTs.
//!
//! ```text
//!   OidcConfig ─► Oidc ── authenticate(token) ─► jwt: form, algorithm, key, signature, claims
//!                  │                                      │                     │
//!                  │                                   KeySet                Claims ─► roles, scope
//!                  ├─ KeyCache ── Fetcher ── discovery, JWKS ─┘
//!                  └─ sign_in: people with a browser, by a code and an ID token
//! ```
//!
//! Sources: OpenID Connect Discovery 1.0, RFC 7515 to 7519 (JOSE and JWT),
//! RFC 8725 (best practice), RFC 9068 (access tokens as JWTs). The provider's
//! keys come over HTTPS from the configured issuer and from nowhere else: the
//! headers `jku`, `jwk`, `x5u` and `x5c` of a token are never looked at.

mod claims;
mod config;
mod error;
mod fetch;
mod issuer;
mod jwt;
mod key_cache;
mod keys;
mod provider;
mod sign_in;

pub use config::{BadOidcConfig, ClaimPath, OidcConfig, RoleMap, WorkloadsFrom};
pub use error::{JwtRefused, OidcError, ProviderUnavailable};
pub use issuer::{BadIssuer, Issuer};
pub use provider::Oidc;
pub use sign_in::{
    BadAnswer, BadSignInConfig, ClientSecret, IdToken, PublicUrl, RedirectAnswer, SignInAttempt,
    SignInConfig, SignInRefused,
};

#[cfg(test)]
pub(in crate::admin) mod tests;
