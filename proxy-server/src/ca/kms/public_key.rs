use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use aws_sdk_kms::types::SigningAlgorithmSpec;
use countersign_protocol::p256_point;
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm};

/// The root's public key: a point on one of two curves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RootKey {
    curve: Curve,
    point: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
}

impl RootKey {
    /// Reads a SubjectPublicKeyInfo, DER (RFC 5480 section 2). There is one
    /// encoding of such a key, so this compares and does not parse.
    pub(super) fn from_spki(spki: &[u8]) -> Option<Self> {
        let (curve, point) = match p256_point(spki) {
            Some(point) => (Curve::P256, point),
            None => (Curve::P384, spki.strip_prefix(&P384).filter(|point| is_p384_point(point))?),
        };
        Some(Self { curve, point: point.to_vec() })
    }

    /// The KMS signing algorithm of the curve.
    pub(super) fn kms_algorithm(&self) -> SigningAlgorithmSpec {
        match self.curve {
            Curve::P256 => SigningAlgorithmSpec::EcdsaSha256,
            Curve::P384 => SigningAlgorithmSpec::EcdsaSha384,
        }
    }

    /// Whether `signature` (ECDSA-Sig-Value, DER: RFC 3279 section 2.2.3) over `message` holds.
    pub(super) fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm = match self.curve {
            Curve::P256 => &ECDSA_P256_SHA256_ASN1,
            Curve::P384 => &ECDSA_P384_SHA384_ASN1,
        };
        UnparsedPublicKey::new(algorithm, &self.point).verify(message, signature).is_ok()
    }
}

impl PublicKeyData for RootKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.curve {
            Curve::P256 => &PKCS_ECDSA_P256_SHA256,
            Curve::P384 => &PKCS_ECDSA_P384_SHA384,
        }
    }
}

/// Uncompressed: its form, then two coordinates of 48 bytes.
fn is_p384_point(point: &[u8]) -> bool {
    point.len() == 97 && point.first() == Some(&4)
}

/// id-ecPublicKey, secp384r1, and a bit string of 97 bytes.
const P384: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ED25519, SigningKey};

    use super::*;

    #[test]
    fn both_curves_are_read_back_and_check_signatures() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let key = RootKey::from_spki(&pair.subject_public_key_info()).unwrap();
            assert_eq!(key.subject_public_key_info(), pair.subject_public_key_info());
            let signature = pair.sign(b"tbs").unwrap();
            assert!(key.holds(b"tbs", &signature));
            assert!(!key.holds(b"tbt", &signature));
            assert!(!key.holds(b"tbs", &[]));
        }
    }

    #[test]
    fn another_key_is_no_root() {
        let spki = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap().subject_public_key_info();
        assert_eq!(RootKey::from_spki(&spki[..spki.len() - 1]), None);
        assert_eq!(RootKey::from_spki(&[&spki[..], &[0]].concat()), None);
        let other = KeyPair::generate_for(&PKCS_ED25519).unwrap().subject_public_key_info();
        assert_eq!(RootKey::from_spki(&other), None);
    }
}
