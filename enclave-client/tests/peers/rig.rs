//! Enclaves in this process: each with a software NSM, a key, a service and a way out.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    num::NonZeroU16,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_enclave::{
    device::{Attestor, Device, DeviceError, DocumentRequest},
    egress::{Connection, Egress, EgressError, Outer},
    ingress::IngressListen,
    manifest::{PeerEntry, PeerPort, PeerSource},
    peers::{
        PeerError, Service,
        config::{ConfigText, Pin, Verifiers},
    },
};
use countersign_protocol::{
    Destination, Interval,
    egress::{Action, EgressPolicy, Ports, Rule},
    peer::{
        ConfigSignature, PeerConfig, PeerConfigFields, PeerMeasurement, Serial, SignatureAlgorithm,
        SignerKey, TrustRoot, Validity,
    },
};
use countersign_simulator::{AttestationRequest, Module, SimulatedRoot, SoftwareNsm};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::road::Road;

/// One simulated root, and whoever signs configurations.
pub struct World {
    pub root: SimulatedRoot,
    pub signer: Signer,
}

impl World {
    pub fn new() -> Self {
        Self { root: SimulatedRoot::generate(now_ms()).unwrap(), signer: Signer::new() }
    }

    pub fn verifiers(&self) -> Verifiers {
        Verifiers::danger_simulated(self.root.root_der()).unwrap()
    }

    pub fn device(&self, module: Module) -> (Device, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        let nsm = self.nsm(module).into();
        (Device::new(Simulated { nsm, counters: counters.clone() }), counters)
    }

    pub fn nsm(&self, module: Module) -> SoftwareNsm {
        SoftwareNsm::new(&self.root, module)
    }
}

/// What a test sees and sets of an NSM.
#[derive(Default)]
pub struct Counters {
    pub documents: AtomicUsize,
    /// How far its clock is off, in milliseconds.
    pub off_ms: AtomicI64,
    /// How many of the next requests it does not answer.
    pub failures: AtomicUsize,
    /// What takes its place at the next request: an enclave can extend a PCR while it runs.
    pub next: Mutex<Option<SoftwareNsm>>,
}

struct Simulated {
    nsm: Mutex<SoftwareNsm>,
    counters: Arc<Counters>,
}

impl Attestor for Simulated {
    fn attest(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
        let DocumentRequest { public_key, user_data, nonce } = request;
        let request = AttestationRequest {
            public_key: Some(public_key),
            user_data: Some(user_data),
            nonce: Some(nonce),
        };
        let failing = |left: usize| left.checked_sub(1);
        if self.counters.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, failing).is_ok() {
            return Err(DeviceError::Gone);
        }
        let mut nsm = self.nsm.lock().unwrap();
        if let Some(next) = self.counters.next.lock().unwrap().take() {
            *nsm = next;
        }
        self.counters.documents.fetch_add(1, Ordering::SeqCst);
        let now = now_ms().checked_add_signed(self.counters.off_ms.load(Ordering::SeqCst)).unwrap();
        Ok(nsm.attest(now, &request).unwrap())
    }
}

pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Signs configurations with Ed25519.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    pub fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    pub fn pin(&self) -> Pin {
        let spki: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        Pin::Signer(SignerKey::from_spki(spki.as_ref()).unwrap())
    }

    pub fn public_pem(&self) -> String {
        let spki: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        let encoded = STANDARD.encode(spki.as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{encoded}\n-----END PUBLIC KEY-----\n")
    }

    pub fn sign(&self, config: PeerConfig) -> String {
        let bytes = self.0.sign(&config.canonical()).as_ref().to_vec();
        let signature = Some(ConfigSignature { algorithm: SignatureAlgorithm::Ed25519, bytes });
        ConfigText { config, signature }.write()
    }
}

/// A configuration that names these modules' PCRs, all of them, and any port.
pub fn config(serial: u64, modules: &[&Module], ports: &[u16]) -> PeerConfig {
    let measurements = modules.iter().enumerate().map(|(number, module)| {
        let pcrs: BTreeMap<_, _> = module.pcrs.iter().map(|(index, value)| (*index, *value)).collect();
        PeerMeasurement::new(format!("release {number}"), pcrs).unwrap()
    });
    let now = now_ms() / 1000;
    PeerConfig::new(PeerConfigFields {
        name: "peer".to_owned(),
        serial: Serial(serial),
        root: TrustRoot::Aws,
        validity: Validity::new(now - 3600, now + 3600).unwrap(),
        measurements: measurements.collect(),
        ports: ports.iter().map(|port| NonZeroU16::new(*port).unwrap()).collect(),
        image: None,
    })
    .unwrap()
}

/// An enclave that peers call, with its application.
pub struct Callee {
    pub socket: PathBuf,
    pub application: TcpListener,
    pub nsm: Arc<Counters>,
    pub config_maps: Directory,
    pub service: Service,
    pin: Pin,
    _stop: DropGuard,
    sockets: Directory,
}

impl Callee {
    /// Lets in whoever `callers` names.
    pub async fn start(world: &World, module: Module, callers: PeerConfig) -> Self {
        Self::every(world, module, callers, Interval::MIN).await
    }

    pub async fn every(world: &World, module: Module, callers: PeerConfig, interval: Interval) -> Self {
        let (device, nsm) = world.device(module);
        let config_maps = Directory::new();
        config_maps.put(&world.signer.sign(callers));
        let application = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = NonZeroU16::new(application.local_addr().unwrap().port()).unwrap();
        let stop = CancellationToken::new();
        let service = Service::start(device, world.verifiers(), &config_maps.0, &stop).await.unwrap();
        let (pin, sockets) = (world.signer.pin(), Directory::new());
        let socket = PathBuf::new();
        let _stop = stop.drop_guard();
        let mut callee = Self { socket, application, nsm, config_maps, service, pin, _stop, sockets };
        callee.socket = callee.port(port, interval).await;
        callee
    }

    /// One more port in front of the same application, for the same callers.
    pub async fn port(&self, listen_port: NonZeroU16, interval: Interval) -> PathBuf {
        let application_port = NonZeroU16::new(self.application.local_addr().unwrap().port()).unwrap();
        let entry = PeerPort { listen_port, application_port, source: source(self.pin.clone()), interval };
        let directory = IngressListen::UnixDirectory(self.sockets.0.clone());
        self.service.listen(&[entry], &directory).await.unwrap();
        self.sockets.0.join(format!("{listen_port}.sock"))
    }
}

/// An enclave that calls one peer.
pub struct Caller {
    pub egress: Arc<Egress>,
    pub nsm: Arc<Counters>,
    pub config_maps: Directory,
    destination: Destination,
    _owned: Option<(Service, DropGuard)>,
}

impl Caller {
    /// Calls whoever is at the end of the road, if `peer` names it. Its configuration names the road's port as well.
    pub async fn start(world: &World, module: Module, road: &Road, modules: &[&Module]) -> Self {
        let peer = world.signer.sign(config(1, modules, &[road.address.port()]));
        Self::believing(world, module, road, &peer, world.signer.pin()).await
    }

    pub async fn believing(world: &World, module: Module, road: &Road, peer: &str, pin: Pin) -> Self {
        let (device, nsm) = world.device(module);
        let config_maps = Directory::new();
        config_maps.put(peer);
        let stop = CancellationToken::new();
        let service = Service::start(device, world.verifiers(), &config_maps.0, &stop).await.unwrap();
        let caller = Self::of(&service, road, pin);
        Self { nsm, config_maps, _owned: Some((service, stop.drop_guard())), ..caller }
    }

    /// One more way out of an enclave that is there already.
    pub fn of(service: &Service, road: &Road, pin: Pin) -> Self {
        Self::every(service, road, pin, Interval::MIN)
    }

    pub fn every(service: &Service, road: &Road, pin: Pin, interval: Interval) -> Self {
        let destination: Destination = road.address.to_string().parse().unwrap();
        let entry = PeerEntry { destination: destination.clone(), source: source(pin), interval };
        let rule = Rule {
            action: Action::Allow,
            target: countersign_protocol::egress::Target::Network(road.address.ip().into()),
            ports: Ports::Any,
            origin: "test".into(),
        };
        let policy = EgressPolicy::new(vec![rule]).unwrap();
        let egress = Arc::new_cyclic(|way| {
            let routes = service.outbound(&[entry], way);
            Egress::new(policy, HashMap::new(), Outer::Direct).with_peers(routes)
        });
        let (nsm, config_maps) = (Arc::default(), Directory::new());
        Self { egress, nsm, config_maps, destination, _owned: None }
    }

    pub async fn open(&self) -> Result<Connection, PeerError> {
        match timeout(PATIENCE, self.egress.open(&self.destination)).await.expect("an answer in time") {
            Ok(connection) => Ok(connection),
            Err(EgressError::Peer(why)) => Err(why),
            Err(other) => panic!("another error: {other}"),
        }
    }

    /// The code of the refusal.
    pub async fn refused(&self) -> &'static str {
        self.open().await.expect_err("a refusal").code()
    }
}

/// Nothing here takes longer on a machine that does other things as well.
pub const PATIENCE: Duration = Duration::from_secs(60);

fn source(pin: Pin) -> PeerSource {
    PeerSource { config_map: "peer".to_owned(), pin }
}

/// Where ConfigMaps are mounted. Removed when the test ends.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("countersign-peer-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("peer")).unwrap();
        Self(path)
    }

    /// Puts the file in its place at once, as the kubelet does.
    pub fn put(&self, text: &str) {
        let draft = self.0.join("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, self.file()).unwrap();
    }

    pub fn file(&self) -> PathBuf {
        Path::new(&self.0).join("peer/peer.yaml")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
