//! What a caller and an attested ingress port must agree on.
//!
//! An enclave that ends TLS with a key of its own offers a document about that
//! key. The document carries the caller's nonce, the SPKI of the key, and in
//! `user_data` the digest of an [`IngressBinder`], which names the very TLS
//! connection the document was asked for on. `docs/ingress.md` is the recipe for callers.

use std::fmt;

use aws_lc_rs::digest;
use minicbor::Encoder;

use crate::{BINDER_LEN, wire::EXPORTER_LEN};

/// Where the document is asked for (RFC 8615): `GET` with `?nonce=` and hexadecimal digits.
pub const ATTESTATION_PATH: &str = "/.well-known/countersign-attestation";

/// ALPN protocol (RFC 7301) of a caller that asks for the document first, whatever
/// the application speaks afterwards.
pub const ATTEST_ALPN: &[u8] = b"countersign-attest/1";

/// Label of the TLS exporter (RFC 8446 section 7.5) of this connection; its context is the nonce.
pub const INGRESS_EXPORTER_LABEL: &[u8] = b"EXPORTER-countersign-ingress-v1";

/// A caller's challenge: 16 to 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerNonce(Vec<u8>);

impl CallerNonce {
    /// The fewest bytes: a shorter one could be guessed, and answered from a store of old documents.
    pub const MIN: usize = 16;
    /// The most bytes; the NSM takes 512 (AWS `attestation_process.md`).
    pub const MAX: usize = 64;

    /// Checks the length.
    ///
    /// # Errors
    /// [`CallerNonceError::Length`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, CallerNonceError> {
        match bytes.len() {
            Self::MIN..=Self::MAX => Ok(Self(bytes)),
            actual => Err(CallerNonceError::Length { actual }),
        }
    }

    /// Reads hexadecimal digits of either case.
    ///
    /// # Errors
    /// [`CallerNonceError`].
    pub fn from_hex(text: &str) -> Result<Self, CallerNonceError> {
        hex::decode(text).map_err(|_| CallerNonceError::NotHex).and_then(Self::from_bytes)
    }

    /// The bytes, as they stand in the document.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Why text is no nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerNonceError {
    /// Something else than pairs of hexadecimal digits.
    NotHex,
    /// Too short or too long.
    Length {
        /// Its length in bytes.
        actual: usize,
    },
}

impl fmt::Display for CallerNonceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = (CallerNonce::MIN, CallerNonce::MAX);
        match self {
            Self::NotHex => f.write_str("the nonce is not written in pairs of hexadecimal digits"),
            Self::Length { actual } => write!(f, "the nonce has {actual} bytes; {min} to {max} are possible"),
        }
    }
}

impl std::error::Error for CallerNonceError {}

/// What a document of an ingress port is bound to besides its nonce.
///
/// The label differs from that of [`crate::Binder`], so a document made for a
/// caller is never an answer to a proxy's challenge, and the other way round.
#[derive(Clone, Copy, Debug)]
pub struct IngressBinder<'a> {
    /// SPKI of the key that ends TLS, DER (RFC 5280): that of the certificate the caller saw.
    pub spki: &'a [u8],
    /// TLS exporter with [`INGRESS_EXPORTER_LABEL`] and the nonce as context.
    pub exporter: &'a [u8; EXPORTER_LEN],
}

impl IngressBinder<'_> {
    /// SHA-384 of the CBOR array `["countersign-ingress-v1", SPKI, exporter]`,
    /// deterministically encoded (RFC 8949 section 4.2).
    pub fn digest(&self) -> [u8; BINDER_LEN] {
        let mut out = [0; BINDER_LEN];
        out.copy_from_slice(digest::digest(&digest::SHA384, &self.encode()).as_ref());
        out
    }

    fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::with_capacity(256));
        let written = encoder
            .array(3)
            .and_then(|e| e.str(INGRESS_BINDING)?.bytes(self.spki)?.bytes(self.exporter)?.ok());
        // A Vec takes every write: its error type has no value.
        debug_assert!(written.is_ok());
        encoder.into_writer()
    }
}

/// The label of the binder; the answer names it, so that a later version can be told apart.
pub const INGRESS_BINDING: &str = "countersign-ingress-v1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_documented_one() {
        let encoded = IngressBinder { spki: &[1, 2], exporter: &[3; 32] }.encode();
        let expected = concat!(
            "83",                                             // array(3)
            "76636f756e7465727369676e2d696e67726573732d7631", // "countersign-ingress-v1"
            "420102",                                         // SPKI
            "58200303030303030303030303030303030303030303030303030303030303030303",
        );
        assert_eq!(hex::encode(encoded), expected);
    }

    #[test]
    fn key_and_connection_change_the_digest() {
        let base = IngressBinder { spki: &[1], exporter: &[3; 32] };
        assert_ne!(base.digest(), IngressBinder { spki: &[2], ..base }.digest());
        assert_ne!(base.digest(), IngressBinder { exporter: &[4; 32], ..base }.digest());
    }

    #[test]
    fn a_nonce_has_16_to_64_bytes() {
        let of = |len: usize| CallerNonce::from_hex(&"aB".repeat(len));
        assert_eq!(of(15), Err(CallerNonceError::Length { actual: 15 }));
        assert_eq!(of(16).unwrap().as_bytes(), [0xab; 16]);
        assert_eq!(of(64).unwrap().as_bytes(), [0xab; 64]);
        assert_eq!(of(65), Err(CallerNonceError::Length { actual: 65 }));
        for wrong in ["0", "zz", "0x00112233445566778899aabbccddeeff", "00 11"] {
            assert_eq!(CallerNonce::from_hex(wrong), Err(CallerNonceError::NotHex), "{wrong:?}");
        }
    }
}
