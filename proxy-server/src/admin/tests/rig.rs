use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use countersign_protocol::{BootId, KeyThumbprint, Lease, LeaseBounds};
use countersign_simulator::SimulatedRoot;
use countersign_telemetry::Counts;
use countersign_verifier::TrustAnchor;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::Instant,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{
        AdminApi, AdminConfig, AdminParts, AuditedLogins, StoreTokens,
        identity::{Authenticator, CertificateRules, Grant, Scope, TokenLife, TokenRecord},
        token_row,
    },
    ca::make_trial_certificate,
    config::ServerIdentity,
    policy::{Policy, PolicyHandle, Workload},
    session::{Admission, Sessions, SessionsLimits},
    store::{
        Actor, AuditEvent, AuditWriter, Batch, Journal, Missing, SessionRow, Store, StoreConfig, UnixMs, open,
    },
    telemetry::{Health, Telemetry},
};

/// The admin port over a real store and real TLS.
pub(super) struct Rig {
    pub(super) address: SocketAddr,
    pub(super) store: Arc<dyn Store>,
    pub(super) policy: PolicyHandle,
    pub(super) root: SimulatedRoot,
    pub(super) anchor: CertificateDer<'static>,
    pub(super) directory: PathBuf,
    pub(super) telemetry: Telemetry,
    /// Cancelled, the process drains.
    pub(super) draining: CancellationToken,
    /// Cancelled, the port closes.
    pub(super) stop: CancellationToken,
    /// Stands in for the watcher: keeps the policy fresh.
    fresh: JoinHandle<()>,
}

/// How a rig differs from the usual.
#[derive(Default)]
pub(super) struct Setup {
    pub(super) config: AdminConfig,
    pub(super) approvals: u32,
    pub(super) certificates: CertificateRules,
}

impl Rig {
    pub(super) async fn start(name: &str) -> Self {
        Self::with(name, Setup::default()).await
    }

    pub(super) async fn with(name: &str, setup: Setup) -> Self {
        let directory = std::env::temp_dir().join(format!("countersign-admin-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let paths =
            make_trial_certificate(&directory, &["localhost".to_owned()], OffsetDateTime::now_utc()).unwrap();
        let [ca, certificate, key] = paths;
        let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
        let identity = ServerIdentity::new(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap();
        let store = open(
            &StoreConfig::Sqlite { directory: directory.clone() },
            AuditWriter::unnamed(),
            Missing::Make,
        )
        .await
        .unwrap();
        let policy =
            PolicyHandle::new(Policy::from_store(&store.load().await.unwrap(), UnixMs::now()).unwrap());
        let (journal, _) = Journal::start(Arc::clone(&store));
        let root = SimulatedRoot::generate(UnixMs::now().as_millis()).unwrap();
        let authenticator = Authenticator::new(
            Arc::new(StoreTokens::new(Arc::clone(&store))),
            Arc::new(AuditedLogins::new(journal, policy.clone())),
        );
        let authenticator = authenticator.with_certificates(setup.certificates);
        let draining = CancellationToken::new();
        let health = Health::new(policy.clone(), None, UnixMs::now(), draining.clone());
        let sessions = Sessions::new(SessionsLimits { max_sessions: 100_000, max_per_instance: 10 });
        let telemetry = Telemetry::new(policy.clone(), sessions, health, Counts::default());
        let parts = AdminParts {
            telemetry: telemetry.clone(),
            store: Arc::clone(&store),
            policy: policy.clone(),
            authenticator: Arc::new(authenticator),
            deployment: "test".parse().unwrap(),
            anchor: TrustAnchor::danger_from_der(root.root_der()).unwrap(),
            approvals: setup.approvals,
            lease_bounds: LeaseBounds::default(),
            config: setup.config,
        };
        let api = AdminApi::new(&identity, parts).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(api.serve(listener, stop.clone()));
        let answering = policy.clone();
        let fresh = tokio::spawn(async move {
            loop {
                answering.seen(Instant::now());
                tokio::time::sleep(PolicyHandle::STALE_AFTER / 8).await;
            }
        });
        let anchor = CertificateDer::from_pem_file(ca).unwrap();
        Self { address, store, policy, root, anchor, directory, telemetry, draining, stop, fresh }
    }

    /// A token's secret. `scope` is `*` or names.
    pub(super) async fn token(&self, name: &str, roles: &str, scope: &str) -> String {
        self.token_made(name, roles, scope).await.0
    }

    /// The same, with what the store knows.
    pub(super) async fn token_made(&self, name: &str, roles: &str, scope: &str) -> (String, TokenRecord) {
        let grant =
            Grant::danger_of_the_machine("test", roles.parse().unwrap(), scope.parse::<Scope>().unwrap());
        let life = TokenLife::new(Duration::from_secs(3600)).unwrap();
        let (token, record) = TokenRecord::make(grant, name.parse().unwrap(), life, UnixMs::now()).unwrap();
        let actor = Actor { subject: "local:test".to_owned(), request_id: "rig".to_owned() };
        self.store.add_token(&token_row(&record), &actor).await.unwrap();
        (token.reveal().to_string(), record)
    }

    pub(super) async fn admin(&self) -> String {
        self.token("admin", "admin", "*").await
    }

    /// The watcher's work: puts the store's policy in force.
    pub(super) async fn enforce(&self) {
        let policy = Policy::from_store(&self.store.load().await.unwrap(), UnixMs::now()).unwrap();
        self.policy.replace(Arc::new(policy));
    }

    pub(super) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.anchor.clone()).unwrap();
        roots
    }

    pub(super) fn tls(&self) -> ClientConfig {
        ClientConfig::builder().with_root_certificates(self.roots()).with_no_client_auth()
    }

    pub(super) async fn connect(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), tcp).await
    }

    pub(super) async fn call(&self, call: Call) -> Reply {
        self.call_over(self.connect(self.tls()).await.unwrap(), call).await
    }

    pub(super) async fn call_over(&self, stream: TlsStream<TcpStream>, call: Call) -> Reply {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let response = sender.send_request(call.request()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        drop(sender);
        let _ = connection.await;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)))
        };
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// The first piece of an answer that goes on.
    pub(super) async fn first_of_stream(&self, call: Call) -> String {
        let stream = self.connect(self.tls()).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut body = sender.send_request(call.request()).await.unwrap().into_body();
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        String::from_utf8(piece.to_vec()).unwrap()
    }

    /// So many sessions of `payments/v1`, in the store with their audit rows, and in the process.
    pub(super) async fn fill(&self, count: u32) {
        let mut workload = Workload::clone(&*self.policy.workload(&"payments".parse().unwrap()).unwrap());
        workload.limits.max_sessions = count;
        let workload = Arc::new(workload);
        let (now, lease) = (UnixMs::now(), Lease::from_secs(600).unwrap());
        let mut batch = Batch::default();
        for number in 0..count {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            let admission = Admission {
                workload: Arc::clone(&workload),
                measurement: "v1".into(),
                key: KeyThumbprint::from_bytes(key),
                boot_id: BootId::from_bytes([1; 16]),
                sequence: 1,
                lease,
                epoch: self.policy.epoch(),
                instance: None,
            };
            let id = self.telemetry.sessions.admit(admission, Instant::now()).unwrap().session.id();
            batch.sessions.push(SessionRow {
                id,
                key: KeyThumbprint::from_bytes(key),
                workload: "payments".to_owned(),
                measurement: "v1".to_owned(),
                boot_id: BootId::from_bytes([1; 16]),
                sequence: 1,
                lease,
                lease_ends: UnixMs(now.0 + 600_000),
                epoch: self.policy.epoch(),
                module_id: Some("i-0123456789abcdef0-enc0123456789abcdef".to_owned()),
                replica: None,
                admitted: now,
            });
            batch.events.push(AuditEvent {
                at: now,
                kind: "admission".into(),
                code: "admitted".into(),
                epoch: self.policy.epoch(),
                workload: Some("payments".to_owned()),
                measurement: Some("v1".to_owned()),
                session: Some(id),
                request_id: None,
                actor: None,
                before: None,
                after: None,
                evidence: Some([7; 32]),
                detail: None,
            });
            if batch.sessions.len() == 1000 || number + 1 == count {
                let told = self.store.append(std::mem::take(&mut batch)).await.unwrap();
                assert_eq!(told.refused, []);
            }
        }
    }

    /// A workload and a measurement of it, with these bytes as PCRs.
    pub(super) async fn workload(&self, token: &str, name: &str, byte: u8) {
        let body = json!({ "name": name, "destinations": ["kms.example:443"] });
        self.call(Call::post("/v1/workloads").with(token).json(&body)).await.expect(StatusCode::CREATED);
        let body = json!({ "name": "v1", "pcrs": pcrs(byte) });
        self.call(Call::post(&format!("/v1/workloads/{name}/measurements")).with(token).json(&body))
            .await
            .expect(StatusCode::CREATED);
    }

    /// Kind and code of every row of the audit.
    pub(super) async fn audit(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for chain in self.store.chains().await.unwrap() {
            for row in self.store.chain_rows(&chain.name, 0, 1000).await.unwrap() {
                all.insert(format!("{} {}", row.event.kind, row.event.code));
            }
        }
        all
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
        self.fresh.abort();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// One request.
#[derive(Clone)]
pub(super) struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Call {
    pub(super) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            headers: vec![("host".to_owned(), "localhost".to_owned())],
            body: Vec::new(),
        }
    }

    pub(super) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn put(path: &str) -> Self {
        Self::new(Method::PUT, path)
    }

    pub(super) fn patch(path: &str) -> Self {
        Self::new(Method::PATCH, path)
    }

    pub(super) fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// With a bearer token.
    pub(super) fn with(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.text(&body.to_string())
    }

    pub(super) fn text(self, body: &str) -> Self {
        self.body("application/json", body)
    }

    pub(super) fn body(self, kind: &str, body: &str) -> Self {
        let mut call = self.header("content-type", kind);
        call.body = body.as_bytes().to_vec();
        call
    }

    pub(super) fn request(self) -> Request<Full<bytes::Bytes>> {
        let mut request = Request::builder().method(self.method).uri(self.path);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Full::from(self.body)).unwrap()
    }
}

/// One answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Reply {
    #[track_caller]
    pub(super) fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    /// Asserts that it is a problem of this code.
    #[track_caller]
    pub(super) fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        self
    }

    #[track_caller]
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }

    #[track_caller]
    pub(super) fn etag(&self) -> String {
        self.header("etag").to_owned()
    }
}

/// PCR0, 1 and 2 with one byte over and over.
pub(super) fn pcrs(byte: u8) -> Value {
    let hex = format!("{byte:02x}").repeat(48);
    json!({ "0": hex, "1": hex, "2": hex })
}
