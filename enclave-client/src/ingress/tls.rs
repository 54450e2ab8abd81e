use std::{fmt, io, sync::Arc};

use countersign_protocol::ingress::ATTEST_ALPN;
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    server::{Acceptor, NoServerSessionStorage, ResolvesServerCert},
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{IngressError, attestation::Attestation, files::CertificateFiles};
use crate::{key::EnclaveKey, manifest::IngressTls, transport::Stream};

/// What happens to TLS on one port.
#[derive(Debug)]
pub(super) enum Ending {
    /// Nothing: the application ends it, or nobody.
    Passthrough,
    /// It ends here.
    Tls(Terminator),
}

impl Ending {
    /// Reads or makes the key; files are watched until `stop`.
    pub(super) fn new(
        tls: &IngressTls,
        attestation: Arc<Attestation>,
        stop: &CancellationToken,
    ) -> Result<Self, IngressError> {
        match tls {
            IngressTls::Passthrough => Ok(Self::Passthrough),
            IngressTls::Files { certificate, key } => {
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let files =
                    CertificateFiles::load(certificate, key, provider).map_err(IngressError::Files)?;
                let files = Arc::new(files);
                let terminator = Terminator::new(files.clone(), ORDINARY, &[HTTP1], None)?;
                tokio::spawn(files.watch(stop.clone()));
                Ok(Self::Tls(terminator))
            }
            IngressTls::Attested { names } => {
                let key = EnclaveKey::generate_for(names).map_err(IngressError::Key)?;
                let identity = Arc::new(SingleCertAndKey::from(key.self_signed()));
                let attested = Attested { key, attestation };
                Terminator::new(identity, NEWEST, &[ATTEST_ALPN, HTTP1], Some(attested)).map(Self::Tls)
            }
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passthrough => "bytes unchanged",
            Self::Tls(Terminator { attested: None, .. }) => "TLS ends here, certificate from a file",
            Self::Tls(Terminator { attested: Some(_), .. }) => "TLS ends here, attested key",
        })
    }
}

/// Ends TLS in the enclave.
#[derive(Debug)]
pub(super) struct Terminator {
    /// For callers whose ALPN has a word of ours.
    named: Arc<ServerConfig>,
    /// For all others: as a server that knows no ALPN (RFC 7301 section 3.2 would have us refuse them,
    /// but the protocol behind us is the application's, and only it knows the word).
    unnamed: Arc<ServerConfig>,
    words: &'static [&'static [u8]],
    attested: Option<Attested>,
}

/// The key made here and what signs for it.
#[derive(Debug)]
pub(super) struct Attested {
    pub(super) key: EnclaveKey,
    pub(super) attestation: Arc<Attestation>,
}

impl Terminator {
    fn new(
        identity: Arc<dyn ResolvesServerCert>,
        versions: &[&'static SupportedProtocolVersion],
        words: &'static [&'static [u8]],
        attested: Option<Attested>,
    ) -> Result<Self, IngressError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut unnamed = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(IngressError::Tls)?
            .with_no_client_auth()
            .with_cert_resolver(identity);
        if attested.is_some() {
            // Each connection proves possession of the key anew, and its exporter is its own.
            unnamed.session_storage = Arc::new(NoServerSessionStorage {});
            unnamed.send_tls13_tickets = 0;
        }
        let mut named = unnamed.clone();
        named.alpn_protocols = words.iter().map(|word| word.to_vec()).collect();
        Ok(Self { named: Arc::new(named), unnamed: Arc::new(unnamed), words, attested })
    }

    /// One handshake. Has no deadline of its own.
    pub(super) async fn handshake(&self, stream: Stream) -> io::Result<TlsStream<Stream>> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let ours = |word: &[u8]| self.words.contains(&word);
        let named = start.client_hello().alpn().is_some_and(|mut offered| offered.any(ours));
        start.into_stream(if named { self.named.clone() } else { self.unnamed.clone() }).await
    }

    /// Who answers for the key, when this connection's first bytes may ask for it.
    ///
    /// A caller that named no protocol of ours may wait for the application to
    /// speak first, so its connection is handed over without a look.
    pub(super) fn asks(&self, stream: &TlsStream<Stream>) -> Option<&Attested> {
        self.attested.as_ref().filter(|_| stream.get_ref().1.alpn_protocol().is_some())
    }
}

/// What browsers and command lines of the last ten years speak.
const ORDINARY: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// The exporter of TLS 1.2 names a connection only with an extension (RFC 7627); that of 1.3 always does.
const NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];

const HTTP1: &[u8] = b"http/1.1";
