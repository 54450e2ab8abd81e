use std::{net::SocketAddr, sync::Arc};

use rustls::{
    DistinguishedName, ServerConfig, SignatureScheme,
    crypto::aws_lc_rs,
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{Identity, Wire};

/// A man in the middle whose certificate the enclave trusts: he has an
/// anchored one (a compromised authority, a stolen server key's sibling), or
/// even the proxy's own name. He ends TLS on both sides.
#[derive(Debug)]
pub struct Middleman {
    /// Where he listens.
    pub address: SocketAddr,
    accepted: mpsc::Receiver<Wire<TlsStream<tokio::net::TcpStream>>>,
}

impl Middleman {
    /// Listens with this certificate, and takes any client certificate.
    pub async fn start(identity: &Identity) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config(identity)));
        let (send, accepted) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await
                    && send.send(Wire::new(stream)).await.is_err()
                {
                    return;
                }
            }
        });
        Self { address, accepted }
    }

    /// The next enclave that he caught.
    pub async fn caught(&mut self) -> Wire<TlsStream<tokio::net::TcpStream>> {
        tokio::time::timeout(crate::PATIENCE, self.accepted.recv()).await.expect("a victim in time").unwrap()
    }
}

fn config(identity: &Identity) -> ServerConfig {
    let certified = identity.self_signed();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(Arc::new(TakesAnyone))
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Asks for a certificate and believes it.
#[derive(Debug)]
struct TakesAnyone;

impl ClientCertVerifier for TakesAnyone {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
