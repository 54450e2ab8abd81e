use std::sync::Arc;

use countersign_test_support::logs;
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData};
use rustls::{
    SignatureAlgorithm, SignatureScheme,
    sign::{CertifiedKey, Signer, SigningKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A TLS key with a self-signed certificate: an enclave's K, or something that
/// only looks like it.
#[derive(Debug)]
pub struct Identity {
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

impl Identity {
    /// A P-256 key, as an enclave makes it.
    pub fn p256() -> Self {
        Self::of(&rcgen::PKCS_ECDSA_P256_SHA256)
    }

    /// A key of another kind.
    pub fn of(algorithm: &'static rcgen::SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        if std::ptr::eq(algorithm, &rcgen::PKCS_ECDSA_P256_SHA256) {
            logs::plant_key("session key", &key.serialize_der());
        }
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "end-to-end test");
        let certificate = parameters.self_signed(&key).unwrap().der().clone();
        Self { key, certificate }
    }

    /// A P-256 key for a server called `name`; its certificate is its own anchor.
    pub fn server(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        logs::plant_key("server key", &key.serialize_der());
        let certificate =
            CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap().der().clone();
        Self { key, certificate }
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// The self-signed certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate and its key as PEM, for a configuration file.
    pub fn pem(&self) -> (String, String) {
        let certificate = pem::encode(&pem::Pem::new("CERTIFICATE", self.certificate.as_ref()));
        (certificate, self.key.serialize_pem())
    }

    /// The key, to be shown under any chain: the self-signed one, one that a
    /// grant brought, or one that was stolen.
    pub fn under(&self, chain: Vec<CertificateDer<'static>>) -> Arc<CertifiedKey> {
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&self.private()).unwrap();
        Arc::new(CertifiedKey::new(chain, key))
    }

    /// The key under its own certificate.
    pub fn self_signed(&self) -> Arc<CertifiedKey> {
        self.under(vec![self.certificate.clone()])
    }

    /// The key under its own certificate, shown and signed with even where the
    /// server asked for keys of another kind (RFC 8446 section 4.3.2 forbids that).
    pub fn stubborn(&self) -> Arc<CertifiedKey> {
        let honest = self.self_signed();
        Arc::new(CertifiedKey::new(honest.cert.clone(), Arc::new(Stubborn(honest.key.clone()))))
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// Signs with what it has, whatever was asked for.
#[derive(Debug)]
struct Stubborn(Arc<dyn SigningKey>);

impl SigningKey for Stubborn {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.0.choose_scheme(&[
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ED25519,
        ])
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}
