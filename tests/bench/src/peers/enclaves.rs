use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU16,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::{Ed25519KeyPair, KeyPair},
};
use countersign_enclave::{
    device::{Attestor, Device, DeviceError, DocumentRequest},
    egress::{Connection, Egress, Outer},
    ingress::IngressListen,
    manifest::{PeerEntry, PeerPort, PeerSource},
    peers::{
        Service,
        config::{ConfigText, Pin, Verifiers},
    },
};
use countersign_protocol::{
    Destination, Host, Interval,
    egress::{Action, EgressPolicy, Ports, Rule, Target},
    peer::{
        ConfigSignature, PeerConfig, PeerConfigFields, PeerMeasurement, Serial, SignatureAlgorithm,
        SignerKey, TrustRoot, Validity,
    },
};
use countersign_simulator::{AttestationRequest, Module, SimulatedRoot, SoftwareNsm};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::enclave::now_ms;
use crate::failure::{Context, Failure};

/// One root, one signer, and a directory of ConfigMaps.
pub(super) struct World {
    root: SimulatedRoot,
    signer: Ed25519KeyPair,
    config_maps: Directory,
}

/// The enclave that is called, at 127.0.0.2 in front of the application's port.
pub(super) struct Callee {
    destination: Destination,
    source: PeerSource,
    _service: Service,
    _stop: DropGuard,
}

/// An enclave with a key of its own.
pub(super) struct Caller {
    egress: Arc<Egress>,
    destination: Destination,
    _service: Service,
    _stop: DropGuard,
}

impl World {
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self {
            root: SimulatedRoot::generate(now_ms()?).context("simulated root")?,
            signer: Ed25519KeyPair::generate().context("signer")?,
            config_maps: Directory::new()?,
        })
    }

    async fn service(&self, stop: &CancellationToken) -> Result<Service, Failure> {
        let device = Device::new(Simulated(SoftwareNsm::new(&self.root, Module::from_image(IMAGE))));
        let verifiers = Verifiers::danger_simulated(self.root.root_der()).context("simulated root")?;
        Service::start(device, verifiers, &self.config_maps.0, stop).await.context("peers")
    }

    /// A configuration that names the one image, at one port.
    fn source(&self, port: NonZeroU16) -> Result<PeerSource, Failure> {
        let pcrs: BTreeMap<_, _> =
            Module::from_image(IMAGE).pcrs.iter().map(|(index, pcr)| (*index, *pcr)).collect();
        let now = now_ms()? / 1000;
        let config = PeerConfig::new(PeerConfigFields {
            name: CONFIG_MAP.to_owned(),
            serial: Serial(1),
            root: TrustRoot::Aws,
            validity: Validity::new(now - 3600, now + 3600).context("validity")?,
            measurements: vec![PeerMeasurement::new(IMAGE, pcrs).context("measurement")?],
            ports: vec![port],
            image: None,
        });
        let config = config.context("peer configuration")?;
        let bytes = self.signer.sign(&config.canonical()).as_ref().to_vec();
        let signature = Some(ConfigSignature { algorithm: SignatureAlgorithm::Ed25519, bytes });
        std::fs::write(self.config_maps.file(), ConfigText { config, signature }.write())
            .context("ConfigMap")?;
        let spki: PublicKeyX509Der<'_> = self.signer.public_key().as_der().context("signer")?;
        let signer = SignerKey::from_spki(spki.as_ref()).context("signer")?;
        Ok(PeerSource { config_map: CONFIG_MAP.to_owned(), pin: Pin::Signer(signer) })
    }
}

impl Callee {
    pub(super) async fn start(world: &World, port: NonZeroU16) -> Result<Self, Failure> {
        let stop = CancellationToken::new();
        let source = world.source(port)?;
        let service = world.service(&stop).await?;
        let entry = PeerPort {
            listen_port: port,
            application_port: port,
            source: source.clone(),
            interval: Interval::MIN,
        };
        service.listen(&[entry], &IngressListen::Tcp(ADDRESS)).await.context("peers")?;
        let destination = Destination::new(Host::Address(ADDRESS), port);
        Ok(Self { destination, source, _service: service, _stop: stop.drop_guard() })
    }
}

impl Caller {
    pub(super) async fn start(world: &World, callee: &Callee) -> Result<Self, Failure> {
        let stop = CancellationToken::new();
        let service = world.service(&stop).await?;
        let destination = callee.destination.clone();
        let entry = PeerEntry {
            destination: destination.clone(),
            source: callee.source.clone(),
            interval: Interval::MIN,
        };
        let rule = Rule {
            action: Action::Allow,
            target: Target::Network(ADDRESS.into()),
            ports: Ports::Any,
            origin: "benchmark".into(),
        };
        let policy = EgressPolicy::new(vec![rule]).context("policy")?;
        let egress = Arc::new_cyclic(|way| {
            let routes = service.outbound(&[entry], way);
            Egress::new(policy, HashMap::new(), Outer::Direct).with_peers(routes)
        });
        Ok(Self { egress, destination, _service: service, _stop: stop.drop_guard() })
    }

    pub(super) async fn open(&self) -> Result<Connection, Failure> {
        self.egress.open(&self.destination).await.context("peer")
    }
}

struct Simulated(SoftwareNsm);

impl Attestor for Simulated {
    fn attest(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
        let DocumentRequest { public_key, user_data, nonce } = request;
        let request = AttestationRequest {
            public_key: Some(public_key),
            user_data: Some(user_data),
            nonce: Some(nonce),
        };
        let now = now_ms().map_err(|_| DeviceError::Gone)?;
        self.0.attest(now, &request).map_err(|_| DeviceError::Gone)
    }
}

/// Where ConfigMaps are mounted. Removed with this value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, Failure> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("countersign-bench-{}-{number}", std::process::id()));
        std::fs::create_dir_all(path.join(CONFIG_MAP)).context(path.display())?;
        Ok(Self(path))
    }

    fn file(&self) -> PathBuf {
        self.0.join(CONFIG_MAP).join("peer.yaml")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // It is in the system's place for what nobody misses.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const CONFIG_MAP: &str = "peer";
const IMAGE: &str = "bench";
