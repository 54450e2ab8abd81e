use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::{SignInConfig, endpoints::Endpoints};
use crate::{
    admin::{identity::NoRandomness, secret::secret},
    percent::pairs,
};

/// Somebody was sent to the provider. Its three secrets are random, 256 bits
/// each; the value is used up by the one answer that it is for.
pub struct SignInAttempt {
    state: Zeroizing<String>,
    pub(super) nonce: Zeroizing<String>,
    pub(super) verifier: Zeroizing<String>,
}

impl SignInAttempt {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, NoRandomness> {
        Ok(Self { state: secret()?, nonce: secret()?, verifier: secret()? })
    }

    /// What the provider's answer must bring back (RFC 6749 section 10.12).
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Where the browser goes. It sees state and nonce, and of the verifier only
    /// the hash (RFC 7636 section 4.2), so that a code which leaks is worth nothing.
    pub(in crate::admin::identity::oidc) fn url(&self, config: &SignInConfig, to: &Endpoints) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()));
        let query = pairs([
            ("response_type", "code"),
            ("client_id", &config.client_id),
            ("redirect_uri", &config.redirect_uri()),
            ("scope", &config.scope()),
            ("state", &self.state),
            ("nonce", &self.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        // RFC 6749 section 3.1: a query that the endpoint has "MUST be retained when adding additional query parameters".
        let separator = if to.authorization.contains('?') { '&' } else { '?' };
        format!("{}{separator}{query}", to.authorization)
    }
}

impl fmt::Debug for SignInAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInAttempt(…)")
    }
}
