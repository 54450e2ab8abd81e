use std::{net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig, client::Resumption, crypto::aws_lc_rs,
    server::WebPkiClientVerifier, sign::SingleCertAndKey, version::TLS13,
};
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use crate::failure::{Context, Failure};
use crate::identity::{ClientAuthority, Identity};
use crate::tls::server_name;

/// Mutual TLS as everybody does it, in front of the application.
pub(super) struct Ordinary {
    at: SocketAddr,
    client: TlsConnector,
}

impl Ordinary {
    pub(super) async fn start(application: SocketAddr) -> Result<Self, Failure> {
        let (server, authority) = (Identity::server()?, ClientAuthority::new()?);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut callers = RootCertStore::empty();
        callers.add(authority.anchor()).context("client authority")?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(callers), provider.clone())
            .build()
            .context("client verifier")?;
        let mut accepting = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .context("TLS 1.3")?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(server.self_signed()?)));
        // Nor are there any among peers.
        accepting.send_tls13_tickets = 0;
        let mut servers = RootCertStore::empty();
        servers.add(server.certificate().clone()).context("server certificate")?;
        let mut calling = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .context("TLS 1.3")?
            .with_root_certificates(servers)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(authority.client()?)));
        calling.resumption = Resumption::disabled();

        let listener = TcpListener::bind("127.0.0.1:0").await.context("mutual TLS")?;
        let at = listener.local_addr().context("mutual TLS")?;
        let acceptor = TlsAcceptor::from(Arc::new(accepting));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // A caller that fails says so itself.
                tokio::spawn(async move { serve(stream, acceptor, application).await.ok() });
            }
        });
        Ok(Self { at, client: Arc::new(calling).into() })
    }

    pub(super) async fn open(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let stream = TcpStream::connect(self.at).await.context("mutual TLS")?;
        stream.set_nodelay(true).context("mutual TLS")?;
        self.client.connect(server_name()?, stream).await.context("mutual TLS")
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, application: SocketAddr) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut outside = acceptor.accept(stream).await?;
    let mut inside = TcpStream::connect(application).await?;
    inside.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut outside, &mut inside, BUFFER, BUFFER).await.map(drop)
}

/// The size at which copying is fastest: `docs/benchmarks.md`.
const BUFFER: usize = 64 * 1024;
