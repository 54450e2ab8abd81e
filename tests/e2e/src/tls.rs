use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion, client::ResolvesClientCert, crypto::aws_lc_rs,
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{Answer, Closed, Wire};

/// The name in the proxy's certificate.
pub const SERVER_NAME: &str = "proxy.test";

/// Nothing here may take longer; a test that hangs fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What both ports speak.
pub(crate) static TLS13_ONLY: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// How to dial a port of the proxy.
#[derive(Clone)]
pub struct Dialer {
    /// What to show; `None` shows no certificate.
    pub client: Option<Arc<CertifiedKey>>,
    /// What the server's certificate must come from.
    pub anchor: CertificateDer<'static>,
    /// TLS versions to offer.
    pub versions: &'static [&'static SupportedProtocolVersion],
    /// Protocols to offer (ALPN).
    pub alpn: Vec<Vec<u8>>,
    /// The address to dial from.
    pub from: IpAddr,
    /// The name that the server's certificate must have.
    pub name: &'static str,
    /// Bytes to send before TLS.
    pub before: Vec<u8>,
}

impl Dialer {
    /// TLS 1.3, HTTP/1.1.
    pub fn new(anchor: &CertificateDer<'static>, client: Option<Arc<CertifiedKey>>) -> Self {
        Self {
            client,
            anchor: anchor.clone(),
            versions: &TLS13_ONLY,
            alpn: vec![b"http/1.1".to_vec()],
            from: Ipv4Addr::LOCALHOST.into(),
            name: SERVER_NAME,
            before: Vec::new(),
        }
    }

    /// The same, offering HTTP/2.
    pub fn h2(self) -> Self {
        Self { alpn: vec![b"h2".to_vec()], ..self }
    }

    /// Connects and shakes hands.
    ///
    /// # Errors
    /// The handshake's; with TLS 1.3 a refusal of the client's certificate shows only at the first read.
    pub async fn dial(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        let mut stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&self.before).await?;
        let name = ServerName::try_from(self.name).unwrap();
        timeout(PATIENCE, TlsConnector::from(self.config()).connect(name, stream)).await.unwrap()
    }

    /// Connects, sends, and reads one answer. Reads in any case: with TLS 1.3 a
    /// server refuses a client's certificate after the client thinks it is connected.
    ///
    /// # Errors
    /// How the connection ended instead: the alert, or that there was none.
    pub async fn ask(&self, address: SocketAddr, request: &[u8]) -> Result<Answer, String> {
        let stream = self.dial(address).await.map_err(|error| error.to_string())?;
        let answer = Wire::new(stream).exchange(request).await;
        answer.map_err(|Closed(error)| error.map_or_else(|| "closed".to_owned(), |error| error.to_string()))
    }

    fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.anchor.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.client {
            Some(client) => builder.with_client_cert_resolver(Arc::new(Shows(client.clone()))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.clone();
        Arc::new(config)
    }
}

/// A boot of its own.
pub(crate) fn random_boot() -> countersign_protocol::BootId {
    let mut bytes = [0; 16];
    ::aws_lc_rs::rand::fill(&mut bytes).unwrap();
    countersign_protocol::BootId::from_bytes(bytes)
}

/// Shows this certificate to whoever asks, whether or not it fits what was asked for.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
