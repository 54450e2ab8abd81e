//! A small proxy that speaks the protocol over real TLS and verifies the
//! client's half: nonce, key, binder, sequence. What it verified, it reports.
#![allow(dead_code, unreachable_pub)]

mod attestation;
mod gateway;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use countersign_enclave::{
    attest::{Boot, ProxySite, SiteConfig},
    device::{Attestor, Device, DeviceError, DocumentRequest},
    key::EnclaveKey,
    tls::Anchors,
    transport::Dial,
};
use countersign_protocol::{BootId, Epoch, Host, Lease, SessionId};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

/// One attestation that was verified, or why it was not.
pub type Report = Result<Verified, String>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub connection: usize,
    pub boot_id: BootId,
    pub sequence: u64,
    pub lease: Lease,
}

/// What the proxy does instead of its duty.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// The body of the answer to a challenge.
    pub challenge: Option<Vec<u8>>,
    /// Status and body of the answer to a document.
    pub answer: Option<(u16, Vec<u8>)>,
    /// The request's body comes back.
    pub reflect: bool,
    /// The granted certificate is for another key.
    pub foreign_certificate: bool,
    pub epoch: u64,
}

pub struct FakeProxy {
    pub attestation: SocketAddr,
    pub gateway: SocketAddr,
    pub reports: mpsc::UnboundedReceiver<Report>,
    /// `h2` or `http/1.1`, and the target, of each CONNECT.
    pub connects: mpsc::UnboundedReceiver<(&'static str, String)>,
    shared: Arc<Shared>,
}

pub struct Shared {
    pub behaviour: Mutex<Behaviour>,
    pub session_ca: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
    pub reports: mpsc::UnboundedSender<Report>,
    pub connects: mpsc::UnboundedSender<(&'static str, String)>,
    pub server_spki: Vec<u8>,
    pub certificate_pem: String,
    attestation_tls: TlsAcceptor,
    gateway_tls: TlsAcceptor,
}

pub const SESSION: [u8; 16] = [0xab; 16];

impl FakeProxy {
    pub async fn start() -> Self {
        Self::start_with(&[&rustls::version::TLS13]).await
    }

    pub async fn start_with(versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
        let server = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let mut ca = rcgen::CertificateParams::default();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let session_ca = rcgen::CertifiedIssuer::self_signed(ca, ca_key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(session_ca.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = || {
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).unwrap()
        };
        let chain = vec![server.cert.der().clone()];
        let key = || PrivateKeyDer::try_from(server.signing_key.serialize_der()).unwrap();
        let attestation_tls = builder()
            .with_client_cert_verifier(Arc::new(attestation::AnyKey(provider.clone())))
            .with_single_cert(chain.clone(), key())
            .unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let mut gateway_tls =
            builder().with_client_cert_verifier(verifier).with_single_cert(chain, key()).unwrap();
        gateway_tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (reports_in, reports) = mpsc::unbounded_channel();
        let (connects_in, connects) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Behaviour { epoch: 1, ..Behaviour::default() }),
            session_ca,
            reports: reports_in,
            connects: connects_in,
            server_spki: spki(server.cert.der()),
            certificate_pem: server.cert.pem(),
            attestation_tls: TlsAcceptor::from(Arc::new(attestation_tls)),
            gateway_tls: TlsAcceptor::from(Arc::new(gateway_tls)),
        });
        let listen = || TcpListener::bind("127.0.0.1:0");
        let (attestation, gateway) = (listen().await.unwrap(), listen().await.unwrap());
        let addresses = (attestation.local_addr().unwrap(), gateway.local_addr().unwrap());
        let to_attestation = shared.clone();
        tokio::spawn(async move {
            let mut connection = 0;
            while let Ok((stream, _)) = attestation.accept().await {
                connection += 1;
                tokio::spawn(attestation::serve(stream, to_attestation.clone(), connection));
            }
        });
        let to_gateway = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = gateway.accept().await {
                tokio::spawn(gateway::serve(stream, to_gateway.clone()));
            }
        });
        Self { attestation: addresses.0, gateway: addresses.1, reports, connects, shared }
    }

    /// The same proxy on two UNIX sockets in `directory`.
    pub fn listen_on_unix(&self, directory: &Path) {
        let attestation = UnixListener::bind(directory.join("attestation")).unwrap();
        let gateway = UnixListener::bind(directory.join("gateway")).unwrap();
        let shared = self.shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = attestation.accept().await {
                tokio::spawn(attestation::serve(stream, shared.clone(), 0));
            }
        });
        let shared = self.shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = gateway.accept().await {
                tokio::spawn(gateway::serve(stream, shared.clone()));
            }
        });
    }

    /// A gateway that ends each connection after its handshake, and tells of each.
    pub async fn gateway_that_closes(&self) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        let shared = self.shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tell) = (shared.clone(), tell.clone());
                tokio::spawn(async move {
                    drop(shared.gateway_tls.accept(stream).await);
                    let _ = tell.send(());
                });
            }
        });
        (address, told)
    }

    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.behaviour.lock().unwrap());
    }

    pub fn certificate_pem(&self) -> &str {
        &self.shared.certificate_pem
    }

    pub fn anchors(&self) -> Anchors {
        Anchors::from_pem(self.shared.certificate_pem.as_bytes()).unwrap()
    }

    pub fn name() -> Host {
        "127.0.0.1".parse().unwrap()
    }

    pub fn site_config(&self) -> SiteConfig {
        SiteConfig {
            name: Self::name(),
            attestation: Dial::Tcp(self.attestation.to_string().parse().unwrap()),
            gateway_port: Some(self.gateway.port()),
            anchors: self.anchors(),
            deployment: None,
            key: EnclaveKey::generate().unwrap(),
            device: Device::new(PlainDocuments),
            boot: Arc::new(Boot::new().unwrap()),
        }
    }

    pub fn site(&self) -> ProxySite {
        ProxySite::new(self.site_config()).unwrap()
    }
}

impl Shared {
    fn epoch(&self) -> Epoch {
        Epoch(self.behaviour.lock().unwrap().epoch)
    }

    fn session() -> SessionId {
        SessionId::from_bytes(SESSION)
    }
}

/// A device whose documents anybody can read: three fields, each behind its length.
pub struct PlainDocuments;

impl Attestor for PlainDocuments {
    fn attest(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
        let DocumentRequest { public_key, user_data, nonce } = request;
        let fields = [public_key, user_data, nonce];
        Ok(fields
            .iter()
            .flat_map(|field| [&[u8::try_from(field.len()).unwrap()][..], field].concat())
            .collect())
    }
}

fn read_document(mut bytes: &[u8]) -> [Vec<u8>; 3] {
    [(); 3].map(|()| {
        let (len, rest) = bytes.split_first().unwrap();
        let (field, rest) = rest.split_at(usize::from(*len));
        bytes = rest;
        field.to_vec()
    })
}

pub fn spki(certificate: &CertificateDer<'_>) -> Vec<u8> {
    let parsed = webpki::EndEntityCert::try_from(certificate).unwrap();
    parsed.subject_public_key_info().as_ref().to_vec()
}
