//! TLS as this program speaks it: version 1.3, aws-lc-rs, nothing resumed.

use std::{fmt, sync::Arc};

use rustls::{ClientConfig, RootCertStore, sign::CertifiedKey, sign::SingleCertAndKey};
use rustls_pki_types::{CertificateDer, pem::PemObject};

/// Whom the proxy's certificate must come from.
#[derive(Clone, Debug)]
pub struct Anchors(Arc<RootCertStore>);

impl Anchors {
    /// Mozilla's roots, built in (crate webpki-roots): what a public certificate chains to.
    pub fn bundled() -> Self {
        Self(Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }))
    }

    /// The certificates of a PEM text, and no others.
    ///
    /// # Errors
    /// [`AnchorError`] when it holds none, or one that cannot be a trust anchor.
    pub fn from_pem(pem: &[u8]) -> Result<Self, AnchorError> {
        let mut store = RootCertStore::empty();
        for (index, certificate) in certificates(pem)?.into_iter().enumerate() {
            store.add(certificate).map_err(|_| AnchorError::BadCertificate { index })?;
        }
        Ok(Self(Arc::new(store)))
    }
}

/// The certificates of a PEM text, at least one.
///
/// # Errors
/// [`AnchorError`] when it holds none, or one that does not decode.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, AnchorError> {
    let found = CertificateDer::pem_slice_iter(pem).enumerate();
    let found: Vec<_> = found
        .map(|(index, certificate)| certificate.map_err(|_| AnchorError::BadCertificate { index }))
        .collect::<Result<_, _>>()?;
    if found.is_empty() { Err(AnchorError::Empty) } else { Ok(found) }
}

/// Why a PEM text is no set of anchors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorError {
    /// No `-----BEGIN CERTIFICATE-----` in it.
    Empty,
    /// One that does not decode.
    BadCertificate {
        /// Which, from 0.
        index: usize,
    },
}

impl fmt::Display for AnchorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no PEM certificate (-----BEGIN CERTIFICATE-----) in it"),
            Self::BadCertificate { index } => {
                write!(f, "certificate {} of the PEM text does not decode", index + 1)
            }
        }
    }
}

impl std::error::Error for AnchorError {}

/// What a connection is for, as ALPN (RFC 7301) says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// A client configuration that shows `identity` to a server under `anchors`.
///
/// TLS 1.3 only and no resumption: each connection proves possession of K anew,
/// and its exporter is its own.
///
/// # Errors
/// [`rustls::Error`] when the provider cannot speak TLS 1.3.
pub fn client_config(
    anchors: &Anchors,
    identity: Arc<CertifiedKey>,
    protocol: Protocol,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(anchors.0.clone())
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![match protocol {
        Protocol::Http1 => b"http/1.1".to_vec(),
        Protocol::Http2 => b"h2".to_vec(),
    }];
    Ok(Arc::new(config))
}

/// A client configuration for a public service, which knows us by other means than a certificate.
///
/// TLS 1.2 as well: not every endpoint of AWS (FIPS, VPC, other partitions) speaks 1.3 for certain.
///
/// # Errors
/// [`rustls::Error`] when the provider speaks neither.
pub fn server_auth_config(anchors: &Anchors) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(anchors.0.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_come_from_certificates_only() {
        assert_eq!(Anchors::from_pem(b"").unwrap_err(), AnchorError::Empty);
        assert_eq!(Anchors::from_pem(b"hello").unwrap_err(), AnchorError::Empty);
        let junk = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(Anchors::from_pem(junk).unwrap_err(), AnchorError::BadCertificate { index: 0 });
        let real = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        assert_eq!(Anchors::from_pem(real.cert.pem().as_bytes()).unwrap().0.len(), 1);
        assert!(!Anchors::bundled().0.is_empty());
    }
}
