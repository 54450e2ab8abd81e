use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use serde::{Deserialize, Serialize};

use super::{chain::sha256, fields};

/// The public half of an audit key, Ed25519.
///
/// Its text is the SubjectPublicKeyInfo in base64url on one line; PEM is read too, and `openssl pkey -pubin` reads what
/// [`Self::to_pem`] writes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AuditPublicKey([u8; 32]);

/// Which key signed: the first 8 bytes of SHA-256 of its SubjectPublicKeyInfo. It finds a key and proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(#[serde(with = "fields::digits")] pub [u8; 8]);

/// The keys whose signatures count. An empty list trusts nobody.
#[derive(Clone, Debug)]
pub struct TrustedKeys(Vec<AuditPublicKey>);

impl AuditPublicKey {
    /// Wraps the 32 bytes of RFC 8032 section 5.1.5.
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// SubjectPublicKeyInfo, DER (RFC 8410 section 4).
    pub fn spki(&self) -> [u8; 44] {
        let mut spki = [0; 44];
        spki[..SPKI.len()].copy_from_slice(&SPKI);
        spki[SPKI.len()..].copy_from_slice(&self.0);
        spki
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&sha256(&self.spki())[..8]);
        KeyId(id)
    }

    /// `-----BEGIN PUBLIC KEY-----` and so on.
    pub fn to_pem(&self) -> String {
        let base64 = base64::engine::general_purpose::STANDARD.encode(self.spki());
        format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n")
    }

    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl FromStr for AuditPublicKey {
    type Err = NotAnAuditKey;

    fn from_str(text: &str) -> Result<Self, NotAnAuditKey> {
        let text = text.trim();
        let der = if text.starts_with("-----BEGIN") {
            SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map(|der| der.to_vec()).ok()
        } else {
            URL_SAFE_NO_PAD.decode(text).ok()
        };
        let key =
            der.as_deref().and_then(|der| der.strip_prefix(&SPKI[..])).and_then(|key| key.try_into().ok());
        key.map(Self).ok_or(NotAnAuditKey)
    }
}

impl fmt::Display for AuditPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.spki()))
    }
}

impl fmt::Debug for AuditPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditPublicKey({self})")
    }
}

impl From<AuditPublicKey> for String {
    fn from(key: AuditPublicKey) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for AuditPublicKey {
    type Error = NotAnAuditKey;

    fn try_from(text: String) -> Result<Self, NotAnAuditKey> {
        text.parse()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl TrustedKeys {
    /// Trusts these.
    pub fn new(keys: impl IntoIterator<Item = AuditPublicKey>) -> Self {
        Self(keys.into_iter().collect())
    }

    /// Those with this id: one, unless somebody made two keys collide in 8 bytes.
    pub(super) fn with_id(&self, id: KeyId) -> impl Iterator<Item = &AuditPublicKey> {
        self.0.iter().filter(move |key| key.id() == id)
    }

    /// The ids of all.
    pub fn ids(&self) -> Vec<KeyId> {
        self.0.iter().map(AuditPublicKey::id).collect()
    }
}

/// A text that is no public key of Ed25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAuditKey;

impl fmt::Display for NotAnAuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an audit key is the SubjectPublicKeyInfo of an Ed25519 key, PEM or base64url without padding",
        )
    }
}

impl std::error::Error for NotAnAuditKey {}

/// What stands before the 32 bytes of every Ed25519 key (RFC 8410 section 4): SEQUENCE, the algorithm 1.3.101.112, BIT STRING.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
