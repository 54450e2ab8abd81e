use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    client::{ResolvesClientCert, Resumption},
    crypto::{CryptoProvider, aws_lc_rs},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::failure::{Context, Failure};
use crate::identity::SERVER_NAME;

/// Nothing here may take longer; a benchmark that hangs fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What every proxy under test negotiates, so that none is measured with a cheaper one:
/// TLS 1.3, TLS_AES_256_GCM_SHA384, X25519, no resumption.
pub(crate) const SUITE: &str = "TLS_AES_256_GCM_SHA384, X25519";

/// A client of one server.
///
/// # Errors
/// The anchor is no certificate.
pub(crate) fn client(
    anchor: &CertificateDer<'static>,
    identity: Arc<CertifiedKey>,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone()).context("the server's anchor")?;
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .context("TLS 1.3")?
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Always(identity)));
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Connects and shakes hands.
///
/// # Errors
/// Either fails or takes too long.
pub(crate) async fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Failure> {
    let stream = dial(address).await?;
    let handshake = TlsConnector::from(Arc::clone(config)).connect(server_name()?, stream);
    timeout(PATIENCE, handshake).await.context("TLS handshake")?.context("TLS handshake")
}

/// A TCP connection without delay that leaves no TIME_WAIT behind: thousands a second would run out of ports.
///
/// # Errors
/// It fails or takes too long.
pub(crate) async fn dial(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream =
        timeout(PATIENCE, TcpStream::connect(address)).await.context("connect")?.context("connect")?;
    stream.set_nodelay(true).context("TCP_NODELAY")?;
    stream.set_zero_linger().context("SO_LINGER")?;
    Ok(stream)
}

/// [`SERVER_NAME`] as rustls wants it.
///
/// # Errors
/// None: the name is a constant.
pub(crate) fn server_name() -> Result<ServerName<'static>, Failure> {
    ServerName::try_from(SERVER_NAME).context("server name")
}

/// Shows this certificate whatever authorities the server names.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
