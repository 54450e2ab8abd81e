use std::fmt;

use serde_json::{Map, Value};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::SignInAttempt;
use crate::{
    admin::identity::oidc::{JwtRefused, claims, jwt::shortened},
    store::UnixMs,
};

/// The provider says, for one attempt and to this client, who signed in. It
/// stands for a login of the web page, and is judged again with each request:
/// so the login ends when the token does.
#[derive(Clone)]
pub struct IdToken {
    text: Zeroizing<String>,
    expires: UnixMs,
}

impl IdToken {
    /// Of a token whose signature, issuer, audience and time were checked.
    pub(in crate::admin::identity::oidc) fn of_attempt(
        text: Zeroizing<String>,
        claims: &Map<String, Value>,
        attempt: &SignInAttempt,
    ) -> Result<Self, JwtRefused> {
        // OpenID Connect Core 1.0 section 3.1.3.7, step 11: "The Client SHOULD check the nonce value for replay attacks."
        let nonce = claims::text(claims, "nonce")?;
        if !bool::from(nonce.as_bytes().ct_eq(attempt.nonce.as_bytes())) {
            return Err(JwtRefused::Nonce);
        }
        let expires = claims::expires(claims)?;
        Ok(Self { text, expires: UnixMs(expires.saturating_mul(1000)) })
    }

    /// When the provider's word is over.
    pub fn expires(&self) -> UnixMs {
        self.expires
    }

    pub(in crate::admin::identity) fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for IdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdToken(…)")
    }
}

/// What an ID token must say beside what every token must (OpenID Connect Core 1.0 section 2 and 3.1.3.7).
pub(in crate::admin::identity::oidc) fn check(
    claims: &Map<String, Value>,
    client: &str,
    trusted: &str,
) -> Result<(), JwtRefused> {
    // Step 3: rejected "if it contains additional audiences not trusted by the Client".
    if let Some(Value::Array(all)) = claims.get("aud")
        && let Some(other) = all.iter().find(|one| *one != client && *one != trusted)
    {
        return Err(JwtRefused::Audience {
            expected: client.to_owned(),
            found: shortened(&other.to_string()),
        });
    }
    // Step 5: "If an azp (authorized party) Claim is present, the Client SHOULD verify that its client_id is the Claim Value."
    match claims.get("azp") {
        None => {}
        Some(Value::String(party)) if party == client => {}
        Some(other) => {
            let found = shortened(&other.to_string());
            return Err(JwtRefused::AuthorizedParty { expected: client.to_owned(), found });
        }
    }
    // Section 2: `iat` is required.
    claims::issued(claims).map(drop)
}
