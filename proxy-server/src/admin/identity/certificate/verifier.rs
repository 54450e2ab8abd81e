use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    pki_types::CertificateDer,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

/// What the admin port's TLS asks of clients: a certificate under one of these
/// CAs, or none. A certificate that does not verify ends the handshake, so that
/// whatever reaches [`super::CertificateRules::identify`] is genuine.
///
/// The certificate must be for client authentication (extended key usage,
/// RFC 5280 section 4.2.1.12) and in its time. There are no revocation lists:
/// certificates of people should be short-lived, and a rule can be removed.
///
/// # Errors
/// [`NotABundle`].
pub fn client_verifier(
    bundle: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<Arc<dyn ClientCertVerifier>, NotABundle> {
    let mut roots = RootCertStore::empty();
    for (position, certificate) in bundle.into_iter().enumerate() {
        roots.add(certificate).map_err(|source| NotABundle::Certificate { position, source })?;
    }
    if roots.is_empty() {
        return Err(NotABundle::Empty);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|_| NotABundle::Empty)
}

/// Why a bundle cannot anchor client certificates.
#[derive(Debug)]
pub enum NotABundle {
    /// There is no certificate in it.
    Empty,
    /// One of them is no CA's.
    Certificate {
        /// Which, from 0.
        position: usize,
        /// What is wrong with it.
        source: rustls::Error,
    },
}

impl fmt::Display for NotABundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the bundle of client CAs has no certificate"),
            Self::Certificate { position, .. } => {
                write!(f, "certificate {} of the bundle of client CAs cannot be used", position + 1)
            }
        }
    }
}

impl std::error::Error for NotABundle {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Empty => None,
            Self::Certificate { source, .. } => Some(source),
        }
    }
}
