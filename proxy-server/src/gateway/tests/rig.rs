//! A gateway with a CA, sessions and a destination, all on loopback.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use countersign_protocol::{
    BootId, Destination, Epoch, KeyThumbprint, Lease, LeaseBounds, Problem, SessionId,
};
use countersign_telemetry::{Counts, Tracer};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::Instant,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{
    config::MeasurementState,
    gateway::{Gateway, GatewayConfig, GatewayTls},
    policy::{Destinations, Limits, Policy, PolicyHandle, Workload, fake},
    replica::Elsewhere,
    session::{Admission, NobodyElse, Session, Sessions, SessionsLimits},
    store::UnixMs,
    telemetry::{Health, Metrics, Telemetry},
};

pub(super) type Client = TlsStream<TcpStream>;

pub(super) struct Rig {
    pub(super) address: SocketAddr,
    pub(super) sessions: Sessions,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: CancellationToken,
    pub(super) served: JoinHandle<()>,
    pub(super) ca: CertifiedIssuer<'static, KeyPair>,
    pub(super) policy: PolicyHandle,
    server: CertificateDer<'static>,
    workload: Arc<Workload>,
}

/// One enclave: its key, its certificate, its session.
pub(super) struct Enclave {
    pub(super) key: KeyPair,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) session: Arc<Session>,
}

impl Rig {
    /// A gateway whose one workload may reach `destinations`.
    pub(super) async fn new(destinations: &[&str]) -> Self {
        Self::with(destinations, GatewayConfig::default(), Limits::default()).await
    }

    pub(super) async fn with(destinations: &[&str], config: GatewayConfig, limits: Limits) -> Self {
        let rig = Self::standing(destinations, config, limits, |_, _| Elsewhere::Nowhere).await;
        rig.keep_fresh();
        rig
    }

    /// From now on the policy is fresh.
    pub(super) fn keep_fresh(&self) {
        tokio::spawn(keep_fresh(self.policy.clone(), self.stop.clone()));
    }

    /// A gateway whose sessions may stand elsewhere, and whose policy goes stale.
    pub(super) async fn standing(
        destinations: &[&str],
        config: GatewayConfig,
        limits: Limits,
        elsewhere: impl FnOnce(PolicyHandle, Sessions) -> Elsewhere,
    ) -> Self {
        Self::told(destinations, config, limits, elsewhere, Tracer::off(), Counts::default()).await
    }

    /// A gateway that is followed.
    #[cfg(feature = "otlp")]
    pub(super) async fn traced(destinations: &[&str], tracer: Tracer, counts: Counts) -> Self {
        let (config, limits) = (GatewayConfig::default(), Limits::default());
        let rig = Self::told(destinations, config, limits, |_, _| Elsewhere::Nowhere, tracer, counts).await;
        rig.keep_fresh();
        rig
    }

    async fn told(
        destinations: &[&str],
        config: GatewayConfig,
        limits: Limits,
        elsewhere: impl FnOnce(PolicyHandle, Sessions) -> Elsewhere,
        tracer: Tracer,
        counts: Counts,
    ) -> Self {
        let ca = session_ca();
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["gateway.test".to_owned()]).unwrap();
        let server = server.self_signed(&server_key).unwrap().der().clone();
        let destinations: Destinations =
            destinations.iter().map(|text| text.parse::<Destination>().unwrap()).collect();
        let workload = Arc::new(Workload {
            name: "demo".parse().unwrap(),
            destinations,
            addresses: Vec::new(),
            lease_bounds: LeaseBounds::default(),
            limits,
        });
        let mut stored = fake::policy(1, &[("v1", 1, MeasurementState::Active, 1)]);
        stored.workloads = vec![Workload::clone(&workload)];
        let policy = PolicyHandle::new(Policy::from_store(&stored, UnixMs::now()).unwrap());
        let sessions = Sessions::new(SessionsLimits { max_sessions: 100, max_per_instance: 100 });
        let tls = GatewayTls {
            chain: vec![server.clone()],
            key: private(&server_key),
            session_roots: vec![webpki::anchor_from_trusted_cert(ca.der()).unwrap().to_owned()],
        };
        let health = Health::of_policy(policy.clone());
        let metrics = Telemetry::new(policy.clone(), sessions.clone(), health, counts).metrics;
        let gateway = Gateway::new(
            config,
            tls,
            sessions.clone(),
            policy.clone(),
            elsewhere(policy.clone(), sessions.clone()),
            Arc::clone(&metrics.gateway),
            tracer,
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(gateway.serve(listener, stop.clone()));
        tokio::spawn(sessions.clone().lapse_loop(Arc::new(NobodyElse), stop.clone()));
        Self { address, sessions, stop, served, ca, policy, server, workload, metrics }
    }

    /// An enclave with a session of `lease` seconds.
    pub(super) fn enclave(&self, lease: u64) -> Enclave {
        let key = KeyPair::generate().unwrap();
        let session = self.admit(&key, lease);
        let chain = vec![self.certificate(&key, session.id(), VALID)];
        Enclave { key, chain, session }
    }

    pub(super) fn admit(&self, key: &KeyPair, lease: u64) -> Arc<Session> {
        let admission = Admission {
            workload: Arc::clone(&self.workload),
            measurement: "release-1".into(),
            key: KeyThumbprint::of_spki(&key.subject_public_key_info()),
            boot_id: BootId::from_bytes([1; 16]),
            sequence: 1,
            lease: Lease::from_secs(lease).unwrap(),
            epoch: Epoch(1),
            instance: None,
        };
        self.sessions.admit(admission, Instant::now()).unwrap().session
    }

    /// A session certificate over `key` that names `id` and ends `lives` after an hour ago.
    pub(super) fn certificate(
        &self,
        key: &KeyPair,
        id: SessionId,
        lives: Duration,
    ) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, id.to_string());
        let uri = format!("countersign://test/workload/demo/session/{id}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now - Duration::from_secs(7200);
        params.not_after = now - Duration::from_secs(3600) + lives;
        params.signed_by(key, &self.ca).unwrap().der().clone()
    }

    /// A handshake as `enclave` with this ALPN protocol.
    pub(super) async fn connect(&self, enclave: &Enclave, alpn: &[u8]) -> std::io::Result<Client> {
        let tcp = TcpStream::connect(self.address).await?;
        let config = self.client_config(enclave, alpn);
        TlsConnector::from(config).connect(ServerName::try_from("gateway.test").unwrap(), tcp).await
    }

    pub(super) fn client_config(&self, enclave: &Enclave, alpn: &[u8]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(enclave.chain.clone(), private(&enclave.key))
            .unwrap();
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }

    /// A CONNECT over HTTP/1.1 that must open.
    pub(super) async fn tunnel(&self, enclave: &Enclave, target: &str) -> Client {
        let mut client = self.connect(enclave, b"http/1.1").await.unwrap();
        assert_eq!(connect(&mut client, target).await.unwrap(), Answer::Open);
        client
    }
}

#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Open,
    Refused(Problem),
}

impl Answer {
    /// The code of a refusal.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Open => "open",
            Self::Refused(problem) => &problem.code,
        }
    }
}

/// Sends a CONNECT and reads its answer.
pub(super) async fn connect(client: &mut Client, target: &str) -> std::io::Result<Answer> {
    client.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await?;
    answer(client).await
}

/// Reads one answer, byte by byte so that none of what follows is taken.
pub(super) async fn answer(client: &mut Client) -> std::io::Result<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap();
    if status == "200" {
        assert_eq!(head, "HTTP/1.1 200 OK\r\n\r\n");
        return Ok(Answer::Open);
    }
    assert!(head.contains("Content-Type: application/problem+json\r\n"), "{head}");
    let length = head.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    client.read_exact(&mut body).await?;
    let problem: Problem = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem.status.to_string(), status);
    Ok(Answer::Refused(problem))
}

/// A listener and its address as a CONNECT target.
pub(super) async fn destination() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    (listener, target)
}

/// An intermediate would change nothing here: the root issues.
fn session_ca() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, "session root");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

/// Ends in an hour.
pub(super) const VALID: Duration = Duration::from_secs(7200);

/// Stands in for the store that answers.
async fn keep_fresh(policy: PolicyHandle, stop: CancellationToken) {
    while !stop.is_cancelled() {
        policy.seen(Instant::now());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Bytes that differ everywhere.
pub(super) fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let step = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(step).take(len).collect()
}
