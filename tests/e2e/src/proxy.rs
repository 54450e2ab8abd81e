use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use countersign_protocol::{BootId, message::Grant};
use countersign_proxy::{
    config::Config,
    store::{Missing, SqliteStore, Store, UnixMs},
};
use countersign_simulator::{Module, SimulatedRoot, SoftwareNsm};
use rustls_pki_types::CertificateDer;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    Answer, Attester, Claim, Dialer, Identity, PATIENCE, SERVER_NAME, Scratch, gateway, now_ms, tls::random_boot,
};

/// What a test changes about the proxy that it gets.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Destinations of the workload `payments`.
    pub destinations: Vec<String>,
    /// Special addresses that its names may lead to.
    pub addresses: Vec<&'static str>,
    /// Names that the proxy does not look up.
    pub hosts: Vec<(&'static str, &'static str)>,
    /// More lines for `[limits]`.
    pub limits: &'static str,
    /// Tunnels of one session.
    pub max_tunnels: u32,
}

impl Default for Setup {
    /// A workload that may go nowhere, with measurements 1.0 and 2.0.
    fn default() -> Self {
        Self { destinations: Vec::new(), addresses: Vec::new(), hosts: Vec::new(), limits: "", max_tunnels: 64 }
    }
}

impl Setup {
    /// May go to these addresses, literally.
    pub fn to(destinations: &[SocketAddr]) -> Self {
        Self { destinations: destinations.iter().map(SocketAddr::to_string).collect(), ..Self::default() }
    }

    /// `countersign.toml`, its files beside it.
    fn write(&self, directory: &Path, root: &SimulatedRoot, server: &Identity) -> PathBuf {
        let (certificate, key) = server.pem();
        let file = |name: &str, bytes: &[u8]| std::fs::write(directory.join(name), bytes).unwrap();
        file("server.pem", certificate.as_bytes());
        file("server.key", key.as_bytes());
        file("root.der", root.root_der());
        let Self { destinations, addresses, hosts, limits, max_tunnels } = self;
        let mut text = format!(
            "deployment = \"e2e\"\nstate_directory = \"state\"\ndrain_seconds = 5\n\
             [listen]\nattestation = \"127.0.0.1:0\"\ngateway = \"127.0.0.1:0\"\n\
             [tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n\
             [trust]\ndanger_simulated_root = \"root.der\"\n[limits]\n{limits}\n[hosts]\n"
        );
        for (name, address) in hosts {
            writeln!(text, "\"{name}\" = [\"{address}\"]").unwrap();
        }
        write!(
            text,
            "[[workload]]\nname = \"payments\"\ndestinations = {destinations:?}\naddresses = {addresses:?}\n\
             limits = {{ max_tunnels_per_session = {max_tunnels} }}\n"
        )
        .unwrap();
        for version in ["1.0", "2.0"] {
            file(version, Module::from_image(&format!("payments-{version}")).pcr_json().as_bytes());
            writeln!(text, "[[workload.measurement]]\nname = \"{version}\"\nfile = \"{version}\"").unwrap();
        }
        let path = directory.join("countersign.toml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// The real proxy, served in this process on free ports of loopback.
#[derive(Debug)]
pub struct Proxy {
    /// The attestation port.
    pub attestation: SocketAddr,
    /// The gateway port.
    pub gateway: SocketAddr,
    /// What the server's certificate must come from.
    pub anchor: CertificateDer<'static>,
    /// `countersign.toml`.
    pub configuration: PathBuf,
    root: SimulatedRoot,
    scratch: Scratch,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// Starts one, and returns when both ports accept.
    pub async fn start(setup: Setup) -> Self {
        let scratch = Scratch::new("proxy");
        let root = SimulatedRoot::generate(now_ms()).unwrap();
        let server = Identity::server(SERVER_NAME);
        let configuration = setup.write(scratch.path(), &root, &server);
        let config = Config::load(&configuration).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let ready = scratch.path().join("ready.json");
        let (path, ready_file) = (configuration.clone(), ready.clone());
        let serving = tokio::spawn(async move {
            let ended = countersign_proxy::serve::serve(config, path, Some(ready_file)).await;
            panic!("the proxy ended: {ended:?}");
        });
        let (attestation, gateway) = timeout(PATIENCE, ports(&ready, &serving)).await.expect("a proxy in time");
        Self { attestation, gateway, anchor: server.certificate().clone(), configuration, root, scratch, serving }
    }

    /// The security module of an enclave that runs `image`.
    pub fn nsm(&self, image: &str) -> SoftwareNsm {
        SoftwareNsm::new(&self.root, Module::from_image(image))
    }

    /// The same in debug mode.
    pub fn debug_nsm(&self, image: &str) -> SoftwareNsm {
        SoftwareNsm::new(&self.root, Module::from_image(image).debug())
    }

    /// Where its state lies.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// The directory of the simulated root, for the real client.
    pub fn root_directory(&self) -> PathBuf {
        let directory = self.scratch.path().join("root");
        self.root.save(&directory).unwrap();
        directory
    }

    /// Dials with this key, as the real client dials the attestation port.
    pub fn dialer(&self, key: &Identity) -> Dialer {
        Dialer::new(&self.anchor, Some(key.self_signed()))
    }

    /// An enclave with a key, connected, and not attested.
    pub async fn enclave(&self, image: &str) -> Enclave {
        let key = Identity::p256();
        let attester = Attester::connect(self.attestation, &self.dialer(&key), &key).await.unwrap();
        Enclave { nsm: self.nsm(image), boot: random_boot(), key, attester }
    }

    /// An enclave with a session.
    pub async fn admitted(&self, image: &str) -> Admitted {
        let mut enclave = self.enclave(image).await;
        let grant = enclave.attest(1, |_| ()).await.grant();
        let dialer = gateway::session_dialer(&self.anchor, &enclave.key, &grant);
        Admitted { enclave, grant, dialer }
    }

    /// Opens a tunnel, or tells status and code of the refusal.
    ///
    /// # Errors
    /// The refusal.
    pub async fn open(&self, dialer: &Dialer, destination: &str) -> Result<gateway::Tunnel, (u16, String)> {
        gateway::open(self.gateway, dialer, destination).await.map_err(|answer| answer.refusal())
    }

    /// Revokes a measurement by the same way as the command: in the store,
    /// where the proxy finds it. Returns as soon as it is committed.
    pub async fn commit_revocation(&self, workload: &str, measurement: &str) {
        let store = SqliteStore::open(&self.scratch.path().join("state"), Missing::Fail).await.unwrap();
        store.revoke(workload, measurement, Some("a test"), UnixMs::now()).await.unwrap();
    }

    /// Revokes a measurement, and returns when that is in force here.
    pub async fn revoke(&self, workload: &str, measurement: &str) {
        let before = self.epoch().await;
        self.commit_revocation(workload, measurement).await;
        let in_force = async {
            while self.epoch().await == before {
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(PATIENCE, in_force).await.expect("a policy in force in time");
    }

    /// The epoch that a challenge names.
    pub async fn epoch(&self) -> u64 {
        self.enclave("anybody").await.attester.challenge().await.unwrap().epoch.0
    }

    /// Lets so much time pass at once, for everything in this process.
    pub async fn pass(&self, time: Duration) {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    }

    /// Waits until the proxy has seen its store again, after time has passed:
    /// till then it admits nobody and opens nothing.
    pub async fn settle(&self) {
        let fresh = async {
            loop {
                let answer = self.enclave("anybody").await.attest(1, |_| ()).await;
                if answer.refusal().1 != "stale" {
                    return;
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(PATIENCE, fresh).await.expect("a fresh policy in time");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An enclave as the toolbox has it: any key, any module.
pub struct Enclave {
    /// Its security module.
    pub nsm: SoftwareNsm,
    /// Its boot.
    pub boot: BootId,
    /// K.
    pub key: Identity,
    /// Its connection to the attestation port.
    pub attester: Attester,
}

/// An enclave with a session.
pub struct Admitted {
    /// The enclave.
    pub enclave: Enclave,
    /// What it was granted.
    pub grant: Grant,
    /// Dials the gateway with it.
    pub dialer: Dialer,
}

impl Enclave {
    /// Attests, all honest but for `attack`.
    pub async fn attest(&mut self, sequence: u64, attack: impl FnOnce(&mut Claim)) -> Answer {
        self.attester.attest(&self.nsm, self.boot, sequence, attack).await.unwrap()
    }

    /// Leaves its connection and makes another one with the same key.
    pub async fn reconnect(&mut self, proxy: &Proxy) {
        self.attester =
            Attester::connect(proxy.attestation, &proxy.dialer(&self.key), &self.key).await.unwrap();
    }
}

/// Reads the ready file once it is there.
async fn ports(ready: &Path, serving: &JoinHandle<()>) -> (SocketAddr, SocketAddr) {
    loop {
        assert!(!serving.is_finished(), "the proxy did not start");
        if let Ok(text) = std::fs::read(ready) {
            let ready: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let address = |port: &str| ready[port].as_str().unwrap().parse().unwrap();
            return (address("attestation"), address("gateway"));
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Between two looks at something that tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
