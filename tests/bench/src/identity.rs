use std::{path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls::{crypto::aws_lc_rs::sign::any_supported_type, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::failure::{Context, Failure};

/// The name in the server certificate that every proxy shows.
pub(crate) const SERVER_NAME: &str = "proxy.bench";

/// A P-256 key and its self-signed certificate: a server's, or an enclave's K.
pub(crate) struct Identity {
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

/// Whom HAProxy and nginx let in: a client under the authority in `client-ca.pem`.
pub(crate) struct ClientAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Identity {
    /// A server called [`SERVER_NAME`]; its certificate is its own anchor.
    ///
    /// # Errors
    /// The cryptographic library's.
    pub(crate) fn server() -> Result<Self, Failure> {
        Self::new(CertificateParams::new([SERVER_NAME.to_owned()]).context("server certificate")?)
    }

    /// An enclave's key.
    ///
    /// # Errors
    /// The cryptographic library's.
    pub(crate) fn enclave() -> Result<Self, Failure> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "enclave");
        Self::new(parameters)
    }

    /// SubjectPublicKeyInfo, DER.
    pub(crate) fn spki(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// The self-signed certificate.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The key with the self-signed certificate.
    ///
    /// # Errors
    /// The cryptographic library's.
    pub(crate) fn self_signed(&self) -> Result<Arc<CertifiedKey>, Failure> {
        self.under(vec![self.certificate.clone()])
    }

    /// The key with a chain that somebody else made.
    ///
    /// # Errors
    /// The cryptographic library's.
    pub(crate) fn under(&self, chain: Vec<CertificateDer<'static>>) -> Result<Arc<CertifiedKey>, Failure> {
        let private = PrivatePkcs8KeyDer::from(self.key.serialize_der()).into();
        let key = any_supported_type(&private).context("private key")?;
        Ok(Arc::new(CertifiedKey::new(chain, key)))
    }

    /// Writes `server.pem` (the certificate, then its key), `server-cert.pem` and `server-key.pem`.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn write_server(&self, directory: &Path) -> Result<(), Failure> {
        let certificate = pem(&self.certificate);
        let key = self.key.serialize_pem();
        write(directory, "server.pem", &format!("{certificate}{key}"))?;
        write(directory, "server-cert.pem", &certificate)?;
        write(directory, "server-key.pem", &key)
    }

    fn new(parameters: CertificateParams) -> Result<Self, Failure> {
        let key = KeyPair::generate().context("key")?;
        let certificate = parameters.self_signed(&key).context("certificate")?.der().clone();
        Ok(Self { key, certificate })
    }
}

impl ClientAuthority {
    /// A new authority.
    ///
    /// # Errors
    /// The cryptographic library's.
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "bench client authority");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().context("key")?;
        Ok(Self { issuer: CertifiedIssuer::self_signed(parameters, key).context("client authority")? })
    }

    /// Whoever trusts it trusts its clients.
    pub(crate) fn anchor(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A client that is let in.
    ///
    /// # Errors
    /// The cryptographic library's.
    pub(crate) fn client(&self) -> Result<Arc<CertifiedKey>, Failure> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "bench client");
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().context("key")?;
        let certificate =
            parameters.signed_by(&key, &self.issuer).context("client certificate")?.der().clone();
        Identity { key, certificate: certificate.clone() }.under(vec![certificate])
    }

    /// Writes `client-ca.pem`.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), Failure> {
        write(directory, "client-ca.pem", &self.issuer.pem())
    }
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", certificate.as_ref()))
}

fn write(directory: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = directory.join(name);
    std::fs::write(&path, text).context(path.display())
}
