use std::{
    collections::HashMap,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Mutex,
    time::Duration,
};

use countersign_protocol::{BootId, message::Grant};
use countersign_proxy::{
    config::Config,
    store::{self, Actor, AuditWriter, Change, ChangeRequest, Missing, StoreConfig, UnixMs},
    telemetry::Outlet,
};
use countersign_simulator::{Module, SoftwareNsm};
use rustix::process::{Pid, Signal, kill_process};
use rustls_pki_types::CertificateDer;
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    Answer, Attester, Claim, Dialer, Identity, PATIENCE, Setup, gateway, installation::Installation,
    tls::random_boot,
};

/// The real proxy on free ports of loopback.
#[derive(Debug)]
pub struct Proxy {
    /// The attestation port.
    pub attestation: SocketAddr,
    /// The gateway port.
    pub gateway: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
    /// What the server's certificate must come from.
    pub anchor: CertificateDer<'static>,
    installation: Installation,
    serving: Serving,
    /// How many lines of each code [`Proxy::logged`] gave out.
    seen: Mutex<HashMap<String, usize>>,
}

/// Where it runs.
#[derive(Debug)]
enum Serving {
    /// In this process, under this test's clock.
    Here(JoinHandle<()>),
    /// As a program.
    Program { path: &'static str, process: Child },
}

impl Proxy {
    /// Starts one in this process, and returns when all ports accept.
    pub async fn start(setup: Setup) -> Self {
        let installation = Installation::new(&setup);
        let path = installation.configuration.clone();
        let config = Config::load(&path).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let ready = installation.ready_file();
        let serving = Serving::Here(tokio::spawn(async move {
            let ended = countersign_proxy::serve::serve(config, path, Some(ready), Outlet::none()).await;
            panic!("the proxy ended: {ended:?}");
        }));
        Self::ready(installation, serving).await
    }

    /// Starts this program with `serve`.
    pub async fn program(setup: Setup, path: &'static str) -> Self {
        Self::installed(Installation::new(&setup), path).await
    }

    /// Starts this program for an installation.
    pub(crate) async fn installed(installation: Installation, path: &'static str) -> Self {
        let process = spawn(path, &installation);
        Self::ready(installation, Serving::Program { path, process }).await
    }

    /// Kills the program like a machine that is gone (SIGKILL).
    pub async fn kill(&mut self) {
        let Serving::Program { process, .. } = &mut self.serving else { panic!("a proxy in this process") };
        process.kill().await.unwrap();
    }

    async fn ready(installation: Installation, mut serving: Serving) -> Self {
        let ports = timeout(PATIENCE, installation.ports(|| serving.ended()));
        let (attestation, gateway, admin) = ports.await.expect("a proxy in time");
        let anchor = installation.server.certificate().clone();
        Self { attestation, gateway, admin, anchor, installation, serving, seen: Mutex::default() }
    }

    /// Tells the program to stop (SIGTERM). It may take its time.
    pub fn terminate(&self) {
        let Serving::Program { process, .. } = &self.serving else { panic!("a proxy in this process") };
        let pid = Pid::from_raw(process.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for the program's end.
    pub async fn ended(&mut self) -> ExitStatus {
        let Serving::Program { process, .. } = &mut self.serving else { panic!("a proxy in this process") };
        timeout(PATIENCE, process.wait()).await.expect("an end in time").unwrap()
    }

    /// Starts the program again on the same state, on other ports.
    pub async fn start_again(self) -> Self {
        let Self { installation, serving, .. } = self;
        let Serving::Program { path, .. } = serving else { panic!("a proxy in this process") };
        std::fs::remove_file(installation.ready_file()).unwrap();
        let process = spawn(path, &installation);
        Self::ready(installation, Serving::Program { path, process }).await
    }

    /// The security module of an enclave that runs `image`.
    pub fn nsm(&self, image: &str) -> SoftwareNsm {
        SoftwareNsm::new(&self.installation.root, Module::from_image(image))
    }

    /// The same in debug mode.
    pub fn debug_nsm(&self, image: &str) -> SoftwareNsm {
        SoftwareNsm::new(&self.installation.root, Module::from_image(image).debug())
    }

    /// Waits until a line of the program's log that was not asked for before has this code.
    pub async fn logged(&self, code: &str) -> serde_json::Value {
        let file = self.installation.scratch.path().join("proxy.log");
        let found = async {
            loop {
                let text = std::fs::read_to_string(&file).unwrap();
                let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
                let mut matching: Vec<serde_json::Value> =
                    lines.filter(|line: &serde_json::Value| line["code"] == code).collect();
                let next = {
                    let mut seen = self.seen.lock().unwrap();
                    let seen = seen.entry(code.to_owned()).or_default();
                    let next = (matching.len() > *seen).then(|| matching.swap_remove(*seen));
                    *seen += usize::from(next.is_some());
                    next
                };
                if let Some(line) = next {
                    return line;
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no line with code {code}"))
    }

    /// Where its state lies.
    pub fn directory(&self) -> &Path {
        self.installation.scratch.path()
    }

    /// The directory of the simulated root, for the real client.
    pub fn root_directory(&self) -> PathBuf {
        let directory = self.installation.scratch.path().join("root");
        self.installation.root.save(&directory).unwrap();
        directory
    }

    /// Dials with this key, as the real client dials the attestation port.
    pub fn dialer(&self, key: &Identity) -> Dialer {
        Dialer::new(&self.anchor, Some(key.self_signed()))
    }

    /// An enclave with a key, connected, and not attested.
    pub async fn enclave(&self, image: &str) -> Enclave {
        self.enclave_by(image, self.attestation, |dialer| dialer).await
    }

    /// The same, dialling another address or in another way.
    pub async fn enclave_by(
        &self,
        image: &str,
        port: SocketAddr,
        way: impl FnOnce(Dialer) -> Dialer,
    ) -> Enclave {
        let key = Identity::p256();
        let attester = Attester::connect(port, &way(self.dialer(&key)), &key).await.unwrap();
        Enclave { nsm: self.nsm(image), boot: random_boot(), key, attester }
    }

    /// An enclave with a session.
    pub async fn admitted(&self, image: &str) -> Admitted {
        let mut enclave = self.enclave(image).await;
        let grant = enclave.attest(1, |_| ()).await.grant();
        let dialer = gateway::session_dialer(&self.anchor, &enclave.key, &grant);
        Admitted { enclave, grant, dialer }
    }

    /// Attests once, and tells status and code of the refusal if it is one.
    ///
    /// # Errors
    /// The refusal.
    pub async fn admitted_or_refused(&self, image: &str) -> Result<Grant, (u16, String)> {
        let answer = self.enclave(image).await.attest(1, |_| ()).await;
        if answer.status == 200 { Ok(answer.grant()) } else { Err(answer.refusal()) }
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
        let place = StoreConfig::Sqlite { directory: self.installation.scratch.path().join("state") };
        let store = store::open(&place, AuditWriter::unnamed(), Missing::Fail).await.unwrap();
        let change = Change::RevokeMeasurement {
            workload: workload.parse().unwrap(),
            name: measurement.to_owned(),
            reason: Some("a test".to_owned()),
        };
        let actor = Actor { subject: "local:test".to_owned(), request_id: "test".to_owned() };
        store.change(ChangeRequest::at_once(change, actor, UnixMs::now())).await.unwrap();
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

impl Serving {
    fn ended(&mut self) -> bool {
        match self {
            Self::Here(task) => task.is_finished(),
            Self::Program { process, .. } => process.try_wait().unwrap().is_some(),
        }
    }
}

/// Its log goes to `proxy.log` beside its configuration.
fn spawn(path: &str, installation: &Installation) -> Child {
    let log = File::options().create(true).append(true).open(installation.scratch.path().join("proxy.log"));
    let log = log.unwrap();
    Command::new(path)
        .args(["serve", "--config"])
        .arg(&installation.configuration)
        .arg("--ready-file")
        .arg(installation.ready_file())
        .envs(installation.environment.iter().map(|(name, value)| (name, value)))
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
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

impl Installation {
    fn ready_file(&self) -> PathBuf {
        self.scratch.path().join("ready.json")
    }

    /// Reads the ready file once it is there.
    async fn ports(&self, mut ended: impl FnMut() -> bool) -> (SocketAddr, SocketAddr, SocketAddr) {
        loop {
            assert!(!ended(), "the proxy did not start");
            if let Ok(text) = std::fs::read(self.ready_file()) {
                let ready: serde_json::Value = serde_json::from_slice(&text).unwrap();
                let address = |port: &str| ready[port].as_str().unwrap().parse().unwrap();
                return (address("attestation"), address("gateway"), address("admin"));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Between two looks at something that tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
