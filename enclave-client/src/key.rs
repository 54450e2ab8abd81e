//! The session's key K: made at start, never written, never copied out.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use rustls::{
    SignatureAlgorithm, SignatureScheme,
    sign::{CertifiedKey, Signer, SigningKey},
};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

/// A fresh P-256 key and the self-signed certificate that shows it on the attestation port.
///
/// The private half exists only inside AWS-LC's own allocation, which AWS-LC
/// wipes when it frees it. rustls and rcgen sign through [`Pair`], so the key is
/// never encoded: there is no PKCS#8 copy that could be left in memory.
#[derive(Clone)]
pub struct EnclaveKey {
    pair: Pair,
    certificate: CertificateDer<'static>,
}

impl EnclaveKey {
    /// Makes a key and its self-signed certificate.
    ///
    /// # Errors
    /// [`KeyError`] when the random number generator or the encoder fails.
    pub fn generate() -> Result<Self, KeyError> {
        Self::generate_for(&[])
    }

    /// The same, with a certificate for these names and addresses, to be shown to callers.
    ///
    /// # Errors
    /// [`KeyError`], also for a name that a certificate cannot carry.
    pub fn generate_for(names: &[String]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map_err(|_| KeyError("AWS-LC made no P-256 key"))?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| KeyError("AWS-LC did not encode the public key"))?;
        let spki = public.as_ref().to_vec();
        let pair = Pair(Arc::new(Inner { pair, spki }));
        let mut parameters = rcgen::CertificateParams::new(names)
            .map_err(|_| KeyError("a name cannot stand in a certificate"))?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, SUBJECT);
        let certificate = parameters
            .self_signed(&pair)
            .map_err(|_| KeyError("the self-signed certificate was not made"))?
            .der()
            .clone();
        Ok(Self { pair, certificate })
    }

    /// SubjectPublicKeyInfo of K, DER: what the document's `public_key` holds.
    pub fn spki(&self) -> &[u8] {
        &self.pair.0.spki
    }

    /// K under its self-signed certificate, for the attestation port.
    pub fn self_signed(&self) -> Arc<CertifiedKey> {
        self.certified(vec![self.certificate.clone()])
    }

    /// K under the chain that a grant brought, for the gateway port.
    pub fn certified(&self, chain: Vec<CertificateDer<'static>>) -> Arc<CertifiedKey> {
        Arc::new(CertifiedKey::new(chain, Arc::new(self.pair.clone())))
    }
}

/// Names the public key only.
impl fmt::Debug for EnclaveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thumbprint = countersign_protocol::KeyThumbprint::of_spki(self.spki());
        f.debug_tuple("EnclaveKey").field(&thumbprint).finish()
    }
}

/// No key could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError(&'static str);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for KeyError {}

/// The key as rustls and rcgen use it.
#[derive(Clone)]
struct Pair(Arc<Inner>);

struct Inner {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Pair {
    fn signature(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.0.pair.sign(&SystemRandom::new(), message).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

impl SigningKey for Pair {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SCHEME).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.0.spki.as_slice()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Pair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.signature(message).ok_or_else(|| rustls::Error::General("signing with K failed".to_owned()))
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}

impl rcgen::PublicKeyData for Pair {
    fn der_bytes(&self) -> &[u8] {
        self.0.pair.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Pair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signature(message).ok_or(rcgen::Error::RemoteKeyError)
    }
}

const SUBJECT: &str = "countersign enclave";

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_shows_the_key_and_is_signed_by_it() {
        let key = EnclaveKey::generate().unwrap();
        let certified = key.self_signed();
        let leaf = webpki::EndEntityCert::try_from(&certified.cert[0]).unwrap();
        assert_eq!(leaf.subject_public_key_info().as_ref(), key.spki());
        certified.keys_match().unwrap();
        let signer = certified.key.choose_scheme(&[SCHEME]).unwrap();
        let signature = signer.sign(b"message").unwrap();
        leaf.verify_signature(webpki::aws_lc_rs::ECDSA_P256_SHA256, b"message", &signature).unwrap();
        assert!(certified.key.choose_scheme(&[SignatureScheme::ED25519]).is_none());
    }

    #[test]
    fn debug_output_names_the_public_key_only() {
        let key = EnclaveKey::generate().unwrap();
        let text = format!("{key:?}");
        assert!(text.starts_with("EnclaveKey(KeyThumbprint("), "{text}");
        assert_eq!(format!("{:?}", key.pair), "Pair { .. }");
    }
}
