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
    pair: Arc<Pair>,
    certificate: CertificateDer<'static>,
}

impl EnclaveKey {
    /// Makes a key and its self-signed certificate.
    ///
    /// # Errors
    /// [`KeyError`] when the random number generator or the encoder fails.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map_err(|_| KeyError("AWS-LC made no P-256 key"))?;
        let public: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| KeyError("AWS-LC did not encode the public key"))?;
        let spki = public.as_ref().to_vec();
        let pair = Arc::new(Pair { pair, spki });
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, SUBJECT);
        let certificate = parameters
            .self_signed(&*pair)
            .map_err(|_| KeyError("the self-signed certificate was not made"))?
            .der()
            .clone();
        Ok(Self { pair, certificate })
    }

    /// SubjectPublicKeyInfo of K, DER: what the document's `public_key` holds.
    pub fn spki(&self) -> &[u8] {
        &self.pair.spki
    }

    /// K under its self-signed certificate, for the attestation port.
    pub fn self_signed(&self) -> Arc<CertifiedKey> {
        self.certified(vec![self.certificate.clone()])
    }

    /// K under the chain that a grant brought, for the gateway port.
    pub fn certified(&self, chain: Vec<CertificateDer<'static>>) -> Arc<CertifiedKey> {
        Arc::new(CertifiedKey::new(chain, self.pair.clone()))
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
struct Pair {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Pair {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.pair.sign(&SystemRandom::new(), message).ok()?;
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
        // rustls keeps the CertifiedKey, and with it this key, for as long as a
        // handshake lasts; the signer of one handshake shares it.
        offered.contains(&SCHEME).then(|| Box::new(OneSignature(self.pair.clone_handle())) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.spki.as_slice()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

const SUBJECT: &str = "countersign enclave";

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
