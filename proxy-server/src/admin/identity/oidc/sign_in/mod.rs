//! People who sign in at the provider with their browser: the authorization
//! code flow (RFC 6749 section 4.1, OpenID Connect Core 1.0 section 3.1) with
//! PKCE (RFC 7636), under the rules of RFC 9700.
//!
//! ```text
//!   begin ──► SignInAttempt (state, nonce, verifier: ours alone)
//!     └─► authorization URL ──browser──► provider ──browser──► RedirectAnswer (code)
//!                                                                   │
//!   redeem(attempt, answer) ──code, verifier──► token endpoint ──► IdToken ──► Principal, at each request
//! ```
//!
//! An [`IdToken`] in hand came from the provider's token endpoint, for this
//! client and for one attempt of it; its constructor is private. What binds an
//! attempt to a browser is the page's part (`admin/web/pending.rs`). The access
//! token and the refresh token are dropped unread: nobody here needs them.

mod answer;
mod attempt;
mod config;
mod endpoints;
mod error;
mod exchange;
mod id_token;

pub use answer::{BadAnswer, RedirectAnswer};
pub use attempt::SignInAttempt;
pub use config::{BadSignInConfig, ClientSecret, PublicUrl, SignInConfig};
pub(super) use endpoints::{Endpoints, Metadata};
pub use error::SignInRefused;
pub(super) use exchange::Exchange;
pub use id_token::IdToken;
pub(super) use id_token::check as check_id_token;
