use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, crypto};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    JwtRefused,
    keys::{KeySet, allowed},
};
use crate::admin::identity::MAX_BEARER_BYTES;

/// A JWT whose form was looked at, and nothing else: nobody knows yet who made it.
pub(super) struct UnverifiedJwt<'a> {
    /// Header, dot, claims: what is signed.
    message: &'a str,
    claims: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    kid: String,
}

/// RFC 7515 section 4.1. What else stands in a header is not looked at: above
/// all `jku`, `jwk`, `x5u` and `x5c`, by which a forger would bring his own key.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
}

impl<'a> UnverifiedJwt<'a> {
    /// Size, form, type, algorithm: what costs nothing and needs no key.
    pub(super) fn read(token: &'a str, types: &[&str]) -> Result<Self, JwtRefused> {
        if token.len() > MAX_BEARER_BYTES {
            return Err(JwtRefused::TooLarge { found: token.len(), max: MAX_BEARER_BYTES });
        }
        let (message, signature) = token.rsplit_once('.').ok_or(JwtRefused::Form)?;
        let (header, claims) = message.split_once('.').ok_or(JwtRefused::Form)?;
        if claims.contains('.') {
            return Err(JwtRefused::Form);
        }
        let Header { alg, kid, typ, crit } = object(header).ok_or(JwtRefused::Header)?;
        let algorithm = algorithm(&alg)?;
        if crit.is_some() {
            return Err(JwtRefused::Critical);
        }
        if let Some(typ) = typ.filter(|typ| !types.iter().any(|known| known.eq_ignore_ascii_case(typ))) {
            return Err(JwtRefused::Type { found: shortened(&typ) });
        }
        let kid = kid.filter(|kid| (1..=MAX_KEY_ID).contains(&kid.len())).ok_or(JwtRefused::NoKeyId)?;
        Ok(Self { message, claims, signature, algorithm, kid })
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// What the provider signed.
    pub(super) fn verify(self, keys: &KeySet) -> Result<Map<String, Value>, JwtRefused> {
        let key = keys.find(&self.kid, self.algorithm)?;
        match crypto::verify(self.signature, self.message.as_bytes(), key, self.algorithm) {
            Ok(true) => object(self.claims).ok_or(JwtRefused::Claims),
            // An error is a signature of the wrong length or a key that is none.
            Ok(false) | Err(_) => Err(JwtRefused::Signature),
        }
    }
}

fn algorithm(alg: &str) -> Result<Algorithm, JwtRefused> {
    allowed(alg).ok_or_else(|| {
        // RFC 8725 section 2.1: some readers compared "none" exactly, and "nOnE" passed.
        if alg.eq_ignore_ascii_case("none") {
            JwtRefused::AlgNone
        } else if alg.get(..2).is_some_and(|family| family.eq_ignore_ascii_case("HS")) {
            JwtRefused::AlgSymmetric { found: shortened(alg) }
        } else {
            JwtRefused::AlgNotAllowed { found: shortened(alg) }
        }
    })
}

fn object<T: serde::de::DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// Foreign text in an error.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(128).collect()
}

/// Bearer tokens: RFC 7519 section 5.1, RFC 9068 section 2.1 and 4. Others (`logout+jwt`,
/// `dpop+jwt`) are signed by the same keys and mean something else (RFC 8725 section 3.11).
pub(super) const BEARER: [&str; 4] = ["JWT", "application/jwt", "at+jwt", "application/at+jwt"];

/// ID tokens: an access token is none.
pub(super) const ID_TOKEN: [&str; 2] = ["JWT", "application/jwt"];

const MAX_KEY_ID: usize = 255;
