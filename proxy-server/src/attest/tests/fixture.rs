use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use countersign_protocol::LeaseBounds;
use countersign_simulator::{Module, SimulatedRoot};
use countersign_telemetry::Tracer;
use countersign_verifier::{CacheCapacity, Measurement, PcrSet, TrustAnchor, Verifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use time::OffsetDateTime;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    attest::{Admitter, AdmitterParts, AttestationPort, PortLimits},
    ca::{SessionCa, make_trial_certificate},
    config::{DocumentWindow, MeasurementSpec, MeasurementState, ServerIdentity, WorkloadSpec},
    policy::{Limits, Policy, PolicyHandle, Workload},
    proxy_protocol::LoadBalancers,
    replica::{Elsewhere, ReplicaId},
    session::{Sessions, SessionsLimits},
    store::{AuditWriter, Journal, Missing, PolicyStore, SqlStore, StoreConfig, UnixMs},
    telemetry::Telemetry,
};

/// A port that admits the image `payments` and knows that `retired` was revoked.
pub(super) struct Fixture {
    pub(super) address: SocketAddr,
    pub(super) root: SimulatedRoot,
    pub(super) anchor: CertificateDer<'static>,
    pub(super) server_spki: Vec<u8>,
    pub(super) store: SqlStore,
    pub(super) sessions: Sessions,
    pub(super) policy: PolicyHandle,
    directory: PathBuf,
    stop: CancellationToken,
    /// Stands in for the watcher: keeps the policy fresh, however slow the machine is.
    store_answers: JoinHandle<()>,
}

impl Fixture {
    /// From now on the store is silent.
    pub(super) async fn silence_store(&mut self) {
        self.store_answers.abort();
        assert!((&mut self.store_answers).await.unwrap_err().is_cancelled());
    }

    pub(super) async fn start(name: &str) -> Self {
        Self::traced(name, Tracer::off()).await
    }

    /// A port that is followed.
    pub(super) async fn traced(name: &str, tracer: Tracer) -> Self {
        let directory =
            std::env::temp_dir().join(format!("countersign-attest-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let now = OffsetDateTime::now_utc();
        let paths = make_trial_certificate(&directory, &["localhost".to_owned()], now).unwrap();
        let [ca, certificate, key] = paths;
        let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
        let identity = ServerIdentity::new(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap();

        let place = StoreConfig::Sqlite { directory: directory.clone() };
        let store = SqlStore::open(&place, AuditWriter::unnamed(), Missing::Make).await.unwrap();
        store.seed(&[spec()], UnixMs::now()).await.unwrap();
        let policy =
            PolicyHandle::new(Policy::from_store(&store.load().await.unwrap(), UnixMs::now()).unwrap());
        let sessions = Sessions::new(SessionsLimits { max_sessions: 10, max_per_instance: 10 });
        let (journal, _) = Journal::start(Arc::new(store.clone()));
        let metrics = Telemetry::of_policy(policy.clone()).metrics;
        let root = SimulatedRoot::generate(UnixMs::now().as_millis()).unwrap();
        let anchor = TrustAnchor::danger_from_der(root.root_der()).unwrap();
        let admitter = Admitter::new(AdmitterParts {
            deployment: "demo".parse().unwrap(),
            server_spki: identity.spki().to_vec(),
            lease_bounds: LeaseBounds::default(),
            window: DocumentWindow { past: Duration::from_secs(60), future: Duration::from_secs(10) },
            verifier: Verifier::new(anchor, CacheCapacity::default()),
            policy: policy.clone(),
            sessions: sessions.clone(),
            elsewhere: Elsewhere::Nowhere,
            replica: ReplicaId::from_bytes([1; 16]),
            ca: Arc::new(SessionCa::open(&directory, now).unwrap()),
            journal,
            attestations_per_instance: 600,
            workers: 1,
            metrics: metrics.attestation.clone(),
            tracer,
        });
        let limits = PortLimits { connections: 20, handshakes: 20, load_balancers: LoadBalancers::default() };
        let server_spki = identity.spki().to_vec();
        let port = AttestationPort::new(&identity, admitter, None, limits).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(port.serve(listener, stop.clone()));
        let anchor = CertificateDer::from_pem_file(ca).unwrap();
        let answering = policy.clone();
        let store_answers = tokio::spawn(async move {
            loop {
                answering.seen(Instant::now());
                tokio::time::sleep(PolicyHandle::STALE_AFTER / 8).await;
            }
        });
        Self { address, root, anchor, server_spki, store, sessions, policy, directory, stop, store_answers }
    }

    /// Kind, code and workload of every audit row.
    pub(super) async fn audit(&self) -> Vec<String> {
        self.store.audit_for_tests().await
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
        self.store_answers.abort();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn spec() -> WorkloadSpec {
    let measurement =
        |name: &str, state| MeasurementSpec { name: name.into(), version: None, pcrs: pcrs(name), state };
    WorkloadSpec {
        workload: Workload {
            name: "payments".parse().unwrap(),
            destinations: Default::default(),
            addresses: Vec::new(),
            lease_bounds: LeaseBounds::default(),
            limits: Limits::default(),
        },
        measurements: vec![
            measurement("payments-v1", MeasurementState::Active),
            measurement("retired-v0", MeasurementState::Revoked),
            measurement("planned-v2", MeasurementState::Pending),
        ],
    }
}

/// PCR0, 1 and 2 of the simulated image with this name.
fn pcrs(image: &str) -> PcrSet {
    let measurement = Measurement::from_json("", Module::from_image(image).pcr_json().as_bytes()).unwrap();
    let mut set = PcrSet::EMPTY;
    for (index, value) in measurement.pcrs() {
        set.insert(index, *value).unwrap();
    }
    set
}
