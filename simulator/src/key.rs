//! Signing keys, in the two forms a chain needs: DER signatures in certificates, fixed ones in COSE.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair,
};

use crate::SimulatorError;
use crate::der;

/// What a key is for; curve and signature form follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyUse {
    /// P-384, signs certificates.
    Certificates,
    /// P-384, signs documents: RFC 9053, 2.1, r and s side by side, 96 bytes.
    Documents,
    /// P-256, signs nothing: only for a certificate that carries the wrong curve.
    WrongCurve,
}

/// A private key that never leaves memory (but for the root's, which `root.rs` writes to its file).
pub(crate) struct Key {
    pair: EcdsaKeyPair,
    key_use: KeyUse,
}

impl Key {
    pub(crate) fn generate(key_use: KeyUse) -> Result<Self, SimulatorError> {
        let pair = EcdsaKeyPair::generate(key_use.algorithm()).map_err(|_| crypto("generate a key"))?;
        Ok(Self { pair, key_use })
    }

    /// The root's key, from PKCS#8. `None` if it is no P-384 key.
    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let key_use = KeyUse::Certificates;
        let pair = EcdsaKeyPair::from_pkcs8(key_use.algorithm(), pkcs8).ok()?;
        Some(Self { pair, key_use })
    }

    pub(crate) fn to_pkcs8(&self) -> Result<Vec<u8>, SimulatorError> {
        let document = self.pair.to_pkcs8v1().map_err(|_| crypto("encode a private key"))?;
        Ok(document.as_ref().to_vec())
    }

    /// The public point, uncompressed.
    pub(crate) fn public_point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The SubjectPublicKeyInfo (RFC 5480, 2).
    pub(crate) fn public_key_info(&self) -> Vec<u8> {
        let curve = match self.key_use {
            KeyUse::Certificates | KeyUse::Documents => OID_SECP384R1,
            KeyUse::WrongCurve => OID_PRIME256V1,
        };
        let algorithm = der::sequence(&[&der::oid(OID_EC_PUBLIC_KEY), &der::oid(curve)]);
        der::sequence(&[&algorithm, &der::bit_string(0, self.public_point())])
    }

    /// RFC 7093, 2, method 3: the leftmost 160 bits of the SHA-384 of the public key.
    pub(crate) fn identifier(&self) -> [u8; 20] {
        let hash = digest::digest(&digest::SHA384, self.public_point());
        let mut identifier = [0; 20];
        identifier.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        identifier
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SimulatorError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| crypto("sign"))?;
        Ok(signature.as_ref().to_vec())
    }

    /// A valid ECDSA signature by this P-384 key over SHA-256.
    ///
    /// The library only pairs P-384 with SHA-384. ECDSA reads the hash as an integer (FIPS 186-5, 6.4.1), so
    /// a SHA-256 hash and the same hash behind 16 zero bytes sign alike.
    pub(crate) fn sign_sha256(&self, message: &[u8]) -> Result<Vec<u8>, SimulatorError> {
        let hash = digest::digest(&digest::SHA256, message);
        let padded = [&[0; 16], hash.as_ref()].concat();
        let signature = Digest::import_less_safe(&padded, &digest::SHA384)
            .and_then(|hash| self.pair.sign_digest(&hash))
            .map_err(|_| crypto("sign a SHA-256 hash"))?;
        Ok(signature.as_ref().to_vec())
    }
}

impl KeyUse {
    fn algorithm(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::Certificates => &ECDSA_P384_SHA384_ASN1_SIGNING,
            Self::Documents => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::WrongCurve => &ECDSA_P256_SHA256_ASN1_SIGNING,
        }
    }
}

fn crypto(operation: &'static str) -> SimulatorError {
    SimulatorError::Crypto { operation }
}

/// 1.2.840.10045.2.1
const OID_EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.3.132.0.34
const OID_SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// 1.2.840.10045.3.1.7
const OID_PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};

    use super::*;

    #[test]
    fn the_sha256_signature_is_one() {
        let key = Key::generate(KeyUse::Certificates).unwrap();
        let signature = key.sign_sha256(b"message").unwrap();
        let public = key.public_point();
        UnparsedPublicKey::new(&ECDSA_P384_SHA256_ASN1, public).verify(b"message", &signature).unwrap();
        assert!(
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, public).verify(b"message", &signature).is_err()
        );
    }

    #[test]
    fn a_document_signature_is_96_bytes() {
        let key = Key::generate(KeyUse::Documents).unwrap();
        assert_eq!(key.sign(b"message").unwrap().len(), 96);
    }
}
