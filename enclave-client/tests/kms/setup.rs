//! An endpoint with its surroundings, and a plain HTTP client for it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use countersign_enclave::{
    device::{Attestor, Device, DeviceError, DocumentRequest},
    egress::{Egress, Outer},
    kms::{
        Allow, Callers, CredentialSource, Credentials, Endpoints, KmsConfig, KmsEndpoint, KmsLimits, Region,
        Rules, Site, Standard,
    },
    tls::Anchors,
};
use countersign_protocol::egress::{Action, EgressPolicy, Ports, Rule};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// A document that is nothing but the public key it shows: the endpoint does not look into documents, and
/// the stand-in takes the key out of it.
pub(crate) struct BareDevice(pub(crate) Arc<AtomicUsize>);

impl Attestor for BareDevice {
    fn attest(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(request.public_key)
    }
}

/// A running endpoint; stops when dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) documents: Arc<AtomicUsize>,
    _stop: DropGuard,
}

impl Running {
    pub(crate) async fn start(config: KmsConfig) -> Self {
        let documents = Arc::new(AtomicUsize::new(0));
        Self::with_device(config, Device::new(BareDevice(documents.clone())), documents).await
    }

    pub(crate) async fn with_device(config: KmsConfig, device: Device, documents: Arc<AtomicUsize>) -> Self {
        let egress = Egress::new(loopback_only(), Default::default(), Outer::Direct);
        let endpoint = KmsEndpoint::bind(config, Arc::new(egress), device).await.unwrap();
        let address = endpoint.address();
        let stop = CancellationToken::new();
        tokio::spawn(endpoint.serve(stop.clone()));
        Self { address, documents, _stop: stop.drop_guard() }
    }

    pub(crate) async fn call(&self, operation: &str, body: Value) -> Answer {
        self.raw(operation, body.to_string().into_bytes(), AUTHORIZATION).await
    }

    pub(crate) async fn raw(&self, operation: &str, body: Vec<u8>, authorization: &str) -> Answer {
        let request = Request::post("/")
            .header("host", self.address.to_string())
            .header("x-amz-target", format!("TrentService.{operation}"))
            .header("x-amz-date", "20250101T000000Z")
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", authorization)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        send(self.address, request).await
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status, `__type` and message of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), text("__type"), text("message"))
    }
}

pub(crate) async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answered = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    let (head, body) = answered.into_parts();
    Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
}

pub(crate) fn config(site: &str, anchor_pem: &str) -> KmsConfig {
    let region: Region = REGION.parse().unwrap();
    let site: Site = site.parse().unwrap();
    KmsConfig {
        port: 0,
        endpoints: Endpoints { named: [(region, site)].into(), standard: Standard::Public },
        anchors: Anchors::from_pem(anchor_pem.as_bytes()).unwrap(),
        credentials: CredentialSource::fixed(credentials()),
        callers: Callers::AnyInside,
        rules: Rules { operations: Allow::Any, keys: Allow::Any, encryption_context: Default::default() },
        limits: KmsLimits { call_deadline: Duration::from_secs(10), ..KmsLimits::default() },
    }
}

pub(crate) fn credentials() -> Credentials {
    Credentials::new("AKIDENDPOINT".into(), SECRET.into(), Some("token".into()))
}

pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

pub(crate) fn loopback_only() -> EgressPolicy {
    let target = "127.0.0.1".parse().unwrap();
    EgressPolicy::new(vec![Rule { action: Action::Allow, target, ports: Ports::Any, origin: "test".into() }])
        .unwrap()
}

/// Whoever signed; only the region counts where callers are not checked.
pub(crate) const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIDCALLER/20250101/eu-west-1/kms/aws4_request, \
     SignedHeaders=host;x-amz-date;x-amz-target, Signature=00";

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
