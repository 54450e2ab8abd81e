use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_protocol::peer::{ConfigSignature, PeerConfig, SignatureAlgorithm};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};

/// The key of whoever says who a peer may be. It is used where configurations are made, never in an enclave.
pub enum ConfigSigner {
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
    /// P-256.
    P256(EcdsaKeyPair),
}

impl ConfigSigner {
    /// A private key in PEM: PKCS #8 (RFC 5958) of either kind, or SEC 1 (RFC 5915) of P-256. What `openssl genpkey`
    /// and `openssl ecparam -genkey` write.
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, SignerError> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| SignerError::NotPem)?;
        let p256 = &ECDSA_P256_SHA256_ASN1_SIGNING;
        match &key {
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let ed25519 = Ed25519KeyPair::from_pkcs8(der).map(Self::Ed25519);
                ed25519.or_else(|_| EcdsaKeyPair::from_pkcs8(p256, der).map(Self::P256))
            }
            PrivateKeyDer::Sec1(der) => {
                EcdsaKeyPair::from_private_key_der(p256, der.secret_sec1_der()).map(Self::P256)
            }
            _ => return Err(SignerError::NotAKey),
        }
        .map_err(|_| SignerError::NotAKey)
    }

    /// Signs a configuration.
    ///
    /// # Errors
    /// [`SignerError::Failed`].
    pub fn sign(&self, config: &PeerConfig) -> Result<ConfigSignature, SignerError> {
        let message = config.canonical();
        Ok(match self {
            Self::Ed25519(pair) => ConfigSignature {
                algorithm: SignatureAlgorithm::Ed25519,
                bytes: pair.sign(&message).as_ref().to_vec(),
            },
            Self::P256(pair) => ConfigSignature {
                algorithm: SignatureAlgorithm::EcdsaP256Sha256,
                bytes: pair
                    .sign(&SystemRandom::new(), &message)
                    .map_err(|_| SignerError::Failed)?
                    .as_ref()
                    .to_vec(),
            },
        })
    }

    /// The public key in PEM, for `configSigner` of a manifest.
    ///
    /// # Errors
    /// [`SignerError::Failed`].
    pub fn public_pem(&self) -> Result<String, SignerError> {
        let der: Result<PublicKeyX509Der<'_>, _> = match self {
            Self::Ed25519(pair) => pair.public_key().as_der(),
            Self::P256(pair) => pair.public_key().as_der(),
        };
        let encoded = STANDARD.encode(der.map_err(|_| SignerError::Failed)?.as_ref());
        let mut lines = vec!["-----BEGIN PUBLIC KEY-----"];
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(PEM_LINE));
            lines.push(line);
            rest = more;
        }
        lines.push("-----END PUBLIC KEY-----\n");
        Ok(lines.join("\n"))
    }
}

/// Names the kind of key only.
impl fmt::Debug for ConfigSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519(_) => "ConfigSigner(ed25519)",
            Self::P256(_) => "ConfigSigner(p256)",
        })
    }
}

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignerError {
    /// No PEM private key in it.
    NotPem,
    /// A key of another kind.
    NotAKey,
    /// AWS-LC failed.
    Failed,
}

impl fmt::Display for SignerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPem => "no PEM private key (-----BEGIN PRIVATE KEY-----) in it",
            Self::NotAKey => "the private key is neither Ed25519 nor P-256",
            Self::Failed => "signing failed",
        })
    }
}

impl std::error::Error for SignerError {}

/// RFC 7468 section 2.
const PEM_LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::{super::Pin, *};

    /// The example of RFC 8410 section 10.3.
    const ED25519: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

    #[test]
    fn what_it_signs_its_public_key_verifies() {
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let ed25519 = ConfigSigner::from_pem(ED25519.as_bytes()).unwrap();
        assert!(matches!(ed25519, ConfigSigner::Ed25519(_)));
        let bytes =
            std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/src/peers/config/sample.yaml")).unwrap();
        let config = super::super::ConfigText::parse(&bytes).unwrap().config;
        for signer in [ed25519, ConfigSigner::P256(p256)] {
            let Pin::Signer(key) = Pin::signer_from_pem(signer.public_pem().unwrap().as_bytes()).unwrap()
            else {
                panic!("a signer's pin")
            };
            assert_eq!(key.verify(&config, &signer.sign(&config).unwrap()), Ok(()));
        }
    }

    #[test]
    fn no_other_key_signs() {
        assert_eq!(ConfigSigner::from_pem(b"x").unwrap_err(), SignerError::NotPem);
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        assert_eq!(
            ConfigSigner::from_pem(p384.serialize_pem().as_bytes()).unwrap_err(),
            SignerError::NotAKey
        );
    }
}
