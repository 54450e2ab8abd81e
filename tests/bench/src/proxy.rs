use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use countersign_simulator::{Module, SimulatedRoot, SoftwareNsm};
use rustls_pki_types::CertificateDer;

use crate::child::Server;
use crate::enclave::{Enclave, now_ms};
use crate::failure::{Context, Failure};
use crate::identity::Identity;
use crate::settings::Settings;

/// A real `countersign-proxy` on core 0, with one worker, one workload and one measurement under a simulated root.
pub(crate) struct Proxy {
    /// The process.
    pub(crate) server: Server,
    /// The gateway port.
    pub(crate) gateway: SocketAddr,
    /// What both ports show.
    pub(crate) anchor: CertificateDer<'static>,
    attestation: SocketAddr,
    nsm: Arc<SoftwareNsm>,
    program: PathBuf,
    config: PathBuf,
}

impl Proxy {
    /// Starts it in an empty directory of the scratch space; its one destination is `upstream`.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn start(
        settings: &Settings,
        name: &str,
        upstream: SocketAddr,
    ) -> Result<Self, Failure> {
        let directory = fresh(settings, name)?;
        let identity = Identity::server()?;
        identity.write_server(&directory)?;
        let root = SimulatedRoot::generate(now_ms()?).context("simulated root")?;
        let module = Module::from_image("bench");
        let [attestation, gateway] = [free_port()?, free_port()?];
        let config = directory.join("countersign.toml");
        for (name, content) in [
            ("root.der", root.root_der()),
            ("measurement.json", module.pcr_json().as_bytes()),
            ("countersign.toml", configuration(attestation, gateway, upstream).as_bytes()),
        ] {
            std::fs::write(directory.join(name), content).context(name)?;
        }
        let arguments = [OsStr::new("serve"), OsStr::new("--config"), config.as_os_str()];
        let log = directory.join("log");
        let mut server = Server::start("countersign-proxy", &settings.proxy, &arguments, log)?;
        server.ready(attestation).await?;
        server.ready(gateway).await?;
        let nsm = Arc::new(SoftwareNsm::new(&root, module));
        let anchor = identity.certificate().clone();
        let program = settings.proxy.clone();
        Ok(Self { server, gateway, anchor, attestation, nsm, program, config })
    }

    /// A new enclave of the workload, connected and not yet admitted.
    ///
    /// # Errors
    /// No connection.
    pub(crate) async fn enclave(&self) -> Result<Enclave, Failure> {
        Enclave::connect(self.attestation, &self.anchor, &self.nsm).await
    }

    /// The command that revokes the measurement in the store, as an administrator would.
    pub(crate) fn revocation(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["measurement", "revoke", "--config"]).arg(&self.config);
        command.arg(format!("{WORKLOAD}/{MEASUREMENT}"));
        command
    }
}

/// A directory of the scratch space, emptied.
///
/// # Errors
/// The file system's.
pub(crate) fn fresh(settings: &Settings, name: &str) -> Result<PathBuf, Failure> {
    let directory = settings.scratch.join(name);
    if directory.exists() {
        std::fs::remove_dir_all(&directory).context(directory.display())?;
    }
    std::fs::create_dir_all(&directory).context(directory.display())?;
    directory.canonicalize().context(directory.display())
}

/// A port on loopback that nobody holds now.
///
/// # Errors
/// The system's.
pub(crate) fn free_port() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port")?;
    listener.local_addr().context("a free port")
}

/// Everything else is left as it comes.
fn configuration(attestation: SocketAddr, gateway: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        r#"deployment = "bench"
state_directory = "state"
workers = 1

[listen]
attestation = "{attestation}"
gateway = "{gateway}"

[tls]
certificate = "server-cert.pem"
key = "server-key.pem"

[admin]
listen = "off"

[trust]
danger_simulated_root = "root.der"

# All enclaves here have one simulated machine.
[limits]
sessions_per_instance = 10000000
attestations_per_instance = 100000000

[[workload]]
name = "{WORKLOAD}"
destinations = ["{upstream}"]

[workload.limits]
max_sessions = 50000
max_tunnels_per_session = 20000

[[workload.measurement]]
name = "{MEASUREMENT}"
state = "active"
file = "measurement.json"
"#
    )
}

const WORKLOAD: &str = "bench";
const MEASUREMENT: &str = "release-1";
