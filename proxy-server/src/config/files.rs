use std::{fmt, path::Path, sync::Arc};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use toml::Spanned;

use super::{mistake::Collector, raw::RawTls};

/// The certificate and key that this proxy shows on both ports.
#[derive(Clone)]
pub struct ServerIdentity {
    certified: Arc<CertifiedKey>,
    key: Arc<PrivateKeyDer<'static>>,
    spki: Arc<[u8]>,
}

impl ServerIdentity {
    /// A chain, the server's own certificate first, and the key of that one.
    ///
    /// # Errors
    /// What does not fit, as a sentence.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, String> {
        let leaf = chain.first().ok_or("no certificate in it")?;
        let spki = ParsedCertificate::try_from(leaf)
            .map(|parsed| Arc::from(parsed.subject_public_key_info().as_ref()))
            .map_err(|error| format!("a certificate that cannot be read: {error}"))?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified =
            CertifiedKey::from_der(chain, key.clone_key(), &provider).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => "the key of another certificate".to_owned(),
                other => other.to_string(),
            })?;
        Ok(Self { certified: Arc::new(certified), key: Arc::new(key), spki })
    }

    /// The certificates, the server's own first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The private key, for whoever sets TLS up.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// For rustls.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// SubjectPublicKeyInfo of the server's certificate, DER: part of every binder.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerIdentity({} certificates, key hidden)", self.certified.cert.len())
    }
}

/// `table` is where the two files are named: `tls`, or `admin`.
pub(super) fn identity(
    raw: RawTls,
    table: &str,
    directory: &Path,
    found: &Collector,
) -> Option<ServerIdentity> {
    let RawTls { certificate, key, span } = raw;
    let (certificate_field, key_field) = (format!("{table}.certificate"), format!("{table}.key"));
    if certificate.is_none() {
        found.note(span.clone(), certificate_field.clone(), NO_CERTIFICATE);
    }
    if key.is_none() {
        found.note(span, key_field.clone(), "missing; the certificate's private key, a PEM file");
    }
    let chain = certificate.as_ref().and_then(|file| chain(file, &certificate_field, directory, found));
    let private = key.as_ref().and_then(|file| private_key(file, &key_field, directory, found));
    let (chain, private, key) = (chain?, private?, key?);
    match ServerIdentity::new(chain, private) {
        Ok(identity) => Some(identity),
        Err(found_instead) => {
            let message = format!("expected the key of {certificate_field}; found {found_instead}");
            found.note(key.span(), key_field, message);
            None
        }
    }
}

fn chain(
    file: &Spanned<String>,
    field: &str,
    directory: &Path,
    found: &Collector,
) -> Option<Vec<CertificateDer<'static>>> {
    let pem = read(file, field, directory, found)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Some(chain),
        _ => {
            let message =
                "expected a PEM file with the server's certificate first; found no certificate in it";
            found.note(file.span(), field, message);
            None
        }
    }
}

fn private_key(
    file: &Spanned<String>,
    field: &str,
    directory: &Path,
    found: &Collector,
) -> Option<PrivateKeyDer<'static>> {
    let pem = read(file, field, directory, found)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).ok();
    if key.is_none() {
        found.note(file.span(), field, "expected a PEM file with one private key; found none in it");
    }
    key
}

/// Reads a file named in the configuration, relative to the configuration's directory.
pub(super) fn read(
    file: &Spanned<String>,
    field: &str,
    directory: &Path,
    found: &Collector,
) -> Option<Vec<u8>> {
    let path = directory.join(file.get_ref());
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            found.note(file.span(), field, format!("cannot read {}: {error}", path.display()));
            None
        }
    }
}

const NO_CERTIFICATE: &str = "missing; the server's certificate, a PEM file (for a trial, make one with \
                              `countersign-proxy dev-certificate --dir DIR --name HOST`)";
