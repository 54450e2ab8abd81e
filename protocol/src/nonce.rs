use std::fmt;

use subtle::ConstantTimeEq;

/// The 32 random bytes that make an attestation answer *this* challenge.
///
/// Made by whoever checks the evidence, used once, never by the attester.
/// It is no secret once sent, but it is compared in constant time all the same.
#[derive(Clone, Copy)]
pub struct Nonce([u8; Self::LEN]);

impl Nonce {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Wraps bytes that a cryptographic random number generator made.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, as they stand in the document's `nonce` field.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl PartialEq for Nonce {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Nonce {}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({})", hex::encode(self.0))
    }
}
