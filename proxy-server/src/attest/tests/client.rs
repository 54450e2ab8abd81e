use std::sync::Arc;

use countersign_protocol::{
    Binder, BootId, Deployment, Lease, Nonce, Problem, Role,
    message::{Attest, Challenge, Grant},
    wire,
};
use countersign_simulator::{AttestationRequest, Module, SoftwareNsm};
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::{ClientConfig, RootCertStore, pki_types::PrivateKeyDer, version::TLS13};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::fixture::Fixture;
use crate::store::UnixMs;

/// One connection of an enclave, with its NSM and its key.
pub(super) struct Client {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) nsm: Arc<SoftwareNsm>,
    key: Arc<KeyPair>,
    server_spki: Vec<u8>,
    deployment: Deployment,
    pub(super) boot_id: BootId,
}

/// An HTTP answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Client {
    /// Connects as an enclave that runs this image.
    pub(super) async fn connect(fixture: &Fixture, image: &str) -> Self {
        Self::connect_as(fixture, Module::from_image(image)).await
    }

    pub(super) async fn connect_as(fixture: &Fixture, module: Module) -> Self {
        let nsm = Arc::new(SoftwareNsm::new(&fixture.root, module));
        Self::open(fixture, nsm, Arc::new(KeyPair::generate().unwrap())).await
    }

    /// The same enclave and key on another connection.
    pub(super) async fn again(&self, fixture: &Fixture) -> Self {
        Self::open(fixture, Arc::clone(&self.nsm), Arc::clone(&self.key)).await
    }

    async fn open(fixture: &Fixture, nsm: Arc<SoftwareNsm>, key: Arc<KeyPair>) -> Self {
        let certificate = CertificateParams::default().self_signed(&*key).unwrap();
        let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = client_config(fixture).with_client_auth_cert(vec![certificate.der().clone()], private);
        Self {
            stream: connect(fixture, config.unwrap()).await.unwrap(),
            nsm,
            key,
            server_spki: fixture.server_spki.clone(),
            deployment: "demo".parse().unwrap(),
            boot_id: BootId::from_bytes([5; 16]),
        }
    }

    pub(super) fn spki(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    pub(super) async fn challenge(&mut self) -> Challenge {
        let answer = self.post(wire::CHALLENGE_PATH, b"").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Challenge::decode(&answer.body).unwrap()
    }

    /// Everything that an honest enclave asks its NSM to sign.
    pub(super) fn request(&self, nonce: &Nonce, sequence: u64) -> AttestationRequest {
        let (_, connection) = self.stream.get_ref();
        let exporter = [0; wire::EXPORTER_LEN];
        let exporter =
            connection.export_keying_material(exporter, wire::EXPORTER_LABEL, Some(nonce.as_bytes()));
        self.request_with(nonce, sequence, Role::Enclave, &exporter.unwrap())
    }

    pub(super) fn request_with(
        &self,
        nonce: &Nonce,
        sequence: u64,
        role: Role,
        exporter: &[u8; wire::EXPORTER_LEN],
    ) -> AttestationRequest {
        let binder = Binder {
            role,
            attester_spki: &self.spki(),
            server_spki: &self.server_spki,
            exporter,
            deployment: &self.deployment,
            boot_id: self.boot_id,
            sequence,
        };
        AttestationRequest {
            public_key: Some(self.spki()),
            user_data: Some(binder.digest().to_vec()),
            nonce: Some(nonce.as_bytes().to_vec()),
        }
    }

    pub(super) fn sign(&self, request: &AttestationRequest) -> Vec<u8> {
        self.nsm.attest(UnixMs::now().as_millis(), request).unwrap()
    }

    pub(super) fn body(&self, document: &[u8], sequence: u64) -> Vec<u8> {
        Attest { document, lease: Lease::MIN, boot_id: self.boot_id, sequence }.encode()
    }

    /// Challenge and answer, as an honest enclave does it.
    pub(super) async fn attest(&mut self, sequence: u64) -> Result<Grant, Problem> {
        let challenge = self.challenge().await;
        let document = self.sign(&self.request(&challenge.nonce, sequence));
        self.send_document(&document, sequence).await
    }

    pub(super) async fn send_document(&mut self, document: &[u8], sequence: u64) -> Result<Grant, Problem> {
        let body = self.body(document, sequence);
        self.post(wire::ATTEST_PATH, &body).await.grant()
    }

    pub(super) async fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        let head = format!("POST {path} HTTP/1.1\r\nhost: proxy\r\ncontent-length: {}\r\n\r\n", body.len());
        self.send(&[head.as_bytes(), body].concat()).await
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Answer {
        self.stream.write_all(bytes).await.unwrap();
        read_answer(&mut self.stream).await
    }
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The problem in it, which every refusal is.
    pub(super) fn problem(&self) -> Problem {
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        assert!(self.head.contains(&format!("x-request-id: {}", problem.request_id)), "{}", self.head);
        problem
    }

    pub(super) fn grant(self) -> Result<Grant, Problem> {
        if self.status == 200 { Ok(Grant::decode(&self.body).unwrap()) } else { Err(self.problem()) }
    }
}

pub(super) async fn read_answer(stream: &mut TlsStream<TcpStream>) -> Answer {
    let mut bytes = Vec::new();
    let head = loop {
        assert_ne!(
            stream.read_buf(&mut bytes).await.unwrap(),
            0,
            "closed: {}",
            String::from_utf8_lossy(&bytes)
        );
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            break String::from_utf8(std::mem::replace(&mut bytes, rest)).unwrap();
        }
    };
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    while bytes.len() < length {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "closed in the body");
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes }
}

pub(super) async fn connect(
    fixture: &Fixture,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(fixture.address).await?;
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), tcp).await
}

pub(super) fn client_config(
    fixture: &Fixture,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(fixture.anchor.clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
}
