use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};

use super::{PeerConfig, error::beginning};
use crate::{KeyThumbprint, p256_point};

/// How a peer configuration is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA with P-256 and SHA-256, the signature in ASN.1 (RFC 3279 section 2.2.3).
    EcdsaP256Sha256,
}

/// The public key of whoever may say who a peer is.
#[derive(Clone, PartialEq, Eq)]
pub struct SignerKey {
    algorithm: SignatureAlgorithm,
    /// As aws-lc-rs takes it: 32 bytes, or an uncompressed point of 65.
    raw: Vec<u8>,
    thumbprint: KeyThumbprint,
}

/// A signature as it stands in a file; it holds for nothing until [`SignerKey::verify`] says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSignature {
    /// Which kind it claims to be.
    pub algorithm: SignatureAlgorithm,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl SignerKey {
    /// A SubjectPublicKeyInfo in DER (RFC 5280 section 4.1.2.7): of Ed25519 (RFC 8410), or of a point of P-256 that is
    /// not compressed (RFC 5480). Each has one form, so the start is compared whole and nothing is parsed.
    ///
    /// # Errors
    /// [`SignerKeyError`] for any other key.
    pub fn from_spki(der: &[u8]) -> Result<Self, SignerKeyError> {
        let thumbprint = KeyThumbprint::of_spki(der);
        let of = |algorithm, raw: &[u8]| Self { algorithm, raw: raw.to_vec(), thumbprint };
        match (der.strip_prefix(ED25519_START), p256_point(der)) {
            (Some(key), _) if key.len() == 32 => Ok(of(SignatureAlgorithm::Ed25519, key)),
            (_, Some(point)) => Ok(of(SignatureAlgorithm::EcdsaP256Sha256, point)),
            _ => Err(SignerKeyError),
        }
    }

    /// Which kind of key it is.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// Which key, in 32 bytes.
    pub fn thumbprint(&self) -> KeyThumbprint {
        self.thumbprint
    }

    /// Whether this key signed the configuration.
    ///
    /// # Errors
    /// [`SignatureError`]: another kind of signature, or one that does not hold.
    pub fn verify(&self, config: &PeerConfig, signature: &ConfigSignature) -> Result<(), SignatureError> {
        if signature.algorithm != self.algorithm {
            return Err(SignatureError::Algorithm { expected: self.algorithm, actual: signature.algorithm });
        }
        let message = config.canonical();
        let verified = match self.algorithm {
            SignatureAlgorithm::Ed25519 => {
                UnparsedPublicKey::new(&ED25519, &self.raw).verify(&message, &signature.bytes)
            }
            SignatureAlgorithm::EcdsaP256Sha256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.raw).verify(&message, &signature.bytes)
            }
        };
        verified.map_err(|_| SignatureError::Wrong { key: self.thumbprint })
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({}, {})", self.algorithm, self.thumbprint)
    }
}

impl ConfigSignature {
    /// The longest signature, in bytes: that of P-256 in ASN.1.
    pub const MAX: usize = 72;
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
        })
    }
}

impl FromStr for SignatureAlgorithm {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        [Self::Ed25519, Self::EcdsaP256Sha256]
            .into_iter()
            .find(|algorithm| algorithm.to_string() == text)
            .ok_or_else(|| SignatureError::UnknownAlgorithm { actual: beginning(text) })
    }
}

/// A key of another kind, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignerKeyError;

impl fmt::Display for SignerKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the public key of Ed25519 or of P-256 (SubjectPublicKeyInfo, point not compressed)")
    }
}

impl std::error::Error for SignerKeyError {}

/// Why a signature does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// A word for no kind of signature.
    UnknownAlgorithm {
        /// What stands there.
        actual: String,
    },
    /// Another kind than the key's.
    Algorithm {
        /// The key's.
        expected: SignatureAlgorithm,
        /// The signature's.
        actual: SignatureAlgorithm,
    },
    /// The file was changed, or somebody else signed it.
    Wrong {
        /// The key that should have.
        key: KeyThumbprint,
    },
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownAlgorithm { actual } => {
                write!(f, "signature algorithm {actual:?} is neither ed25519 nor ecdsa-p256-sha256")
            }
            Self::Algorithm { expected, actual } => {
                write!(f, "the signature is {actual}, the pinned key is for {expected}")
            }
            Self::Wrong { key } => write!(f, "the pinned key (SHA-256 {key}) did not sign this"),
        }
    }
}

impl std::error::Error for SignatureError {}

/// `SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING` and the key (RFC 8410 section 4).
const ED25519_START: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws_lc_rs::{
        encoding::{AsDer, PublicKeyX509Der},
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
    };

    use super::super::{PeerConfigFields, PeerMeasurement, Serial, TrustRoot, Validity};
    use super::*;

    fn config(serial: u64) -> PeerConfig {
        let pcrs = BTreeMap::from([(0, [1; 48]), (1, [1; 48]), (2, [1; 48])]);
        PeerConfig::new(PeerConfigFields {
            name: "spark".to_owned(),
            serial: Serial(serial),
            root: TrustRoot::Aws,
            validity: Validity::new(1, 2).unwrap(),
            measurements: vec![PeerMeasurement::new("a", pcrs).unwrap()],
            ports: Vec::new(),
            image: None,
        })
        .unwrap()
    }

    fn ed25519() -> (SignerKey, ConfigSignature) {
        let pair = Ed25519KeyPair::generate().unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let bytes = pair.sign(&config(7).canonical()).as_ref().to_vec();
        let signature = ConfigSignature { algorithm: SignatureAlgorithm::Ed25519, bytes };
        (SignerKey::from_spki(spki.as_ref()).unwrap(), signature)
    }

    fn p256() -> (SignerKey, ConfigSignature) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let signed = pair.sign(&SystemRandom::new(), &config(7).canonical()).unwrap();
        let bytes = signed.as_ref().to_vec();
        let signature = ConfigSignature { algorithm: SignatureAlgorithm::EcdsaP256Sha256, bytes };
        (SignerKey::from_spki(spki.as_ref()).unwrap(), signature)
    }

    #[test]
    fn a_signature_holds_for_this_key_and_this_configuration() {
        for (key, signature) in [ed25519(), p256()] {
            assert_eq!(key.verify(&config(7), &signature), Ok(()));
            let wrong = SignatureError::Wrong { key: key.thumbprint() };
            assert_eq!(key.verify(&config(8), &signature), Err(wrong.clone()));
            let mut changed = signature.clone();
            changed.bytes[20] ^= 1;
            assert_eq!(key.verify(&config(7), &changed), Err(wrong.clone()));
            let empty = ConfigSignature { bytes: Vec::new(), ..signature };
            assert_eq!(key.verify(&config(7), &empty), Err(wrong));
        }
        let (key, _) = ed25519();
        let (_, signature) = p256();
        let algorithm = SignatureError::Algorithm {
            expected: SignatureAlgorithm::Ed25519,
            actual: SignatureAlgorithm::EcdsaP256Sha256,
        };
        assert_eq!(key.verify(&config(7), &signature), Err(algorithm));
        let (_, others) = ed25519();
        assert_eq!(key.verify(&config(7), &others), Err(SignatureError::Wrong { key: key.thumbprint() }));
    }

    #[test]
    fn no_other_key_is_taken() {
        let p384 = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let spki: PublicKeyX509Der<'_> = p384.public_key().as_der().unwrap();
        assert_eq!(SignerKey::from_spki(spki.as_ref()), Err(SignerKeyError));
        assert_eq!(SignerKey::from_spki(&[]), Err(SignerKeyError));
        let mut longer = ED25519_START.to_vec();
        longer.extend([0; 33]);
        assert_eq!(SignerKey::from_spki(&longer), Err(SignerKeyError));
        assert!("ed448".parse::<SignatureAlgorithm>().is_err());
    }
}
