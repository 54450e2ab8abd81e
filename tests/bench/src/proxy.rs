use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use countersign_simulator::{Module, SimulatedRoot, SoftwareNsm};
use rustls_pki_types::CertificateDer;

use crate::child::Server;
use crate::enclave::{Attester, Enclave, now_ms};
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
    root: SimulatedRoot,
    program: PathBuf,
    config: PathBuf,
}

/// What a proxy is made of that is not its own.
pub(crate) struct Plan {
    identity: Identity,
    root: SimulatedRoot,
    /// Names of images, one measurement each.
    images: Vec<String>,
    /// More tables of the configuration.
    tables: String,
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
        let plan = Plan::new(vec![IMAGE.to_owned()])?;
        Self::planned(settings, name, &[upstream], &plan, "").await
    }

    /// The same by a plan that it may share with others. `own` are tables for itself.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn planned(
        settings: &Settings,
        name: &str,
        upstreams: &[SocketAddr],
        plan: &Plan,
        own: &str,
    ) -> Result<Self, Failure> {
        let Plan { identity, root, images, tables } = plan;
        let directory = fresh(settings, name)?;
        identity.write_server(&directory)?;
        let [attestation, gateway] = [free_port()?, free_port()?];
        let config = directory.join("countersign.toml");
        let mut text = configuration(attestation, gateway, upstreams, &format!("{tables}{own}"));
        for image in images {
            let file = directory.join(format!("{image}.json"));
            std::fs::write(&file, Module::from_image(image).pcr_json()).context(file.display())?;
            text += &measurement(image);
        }
        for (name, content) in [("root.der", root.root_der()), ("countersign.toml", text.as_bytes())] {
            std::fs::write(directory.join(name), content).context(name)?;
        }
        let server = serve(&settings.proxy, &config, [attestation, gateway]).await?;
        let nsm = Arc::new(SoftwareNsm::new(root, Module::from_image(IMAGE)));
        let anchor = identity.certificate().clone();
        let (root, program) = (root.clone(), settings.proxy.clone());
        Ok(Self { server, gateway, anchor, attestation, nsm, root, program, config })
    }

    /// New enclaves run this image from now on.
    pub(crate) fn image(&mut self, image: &str) {
        self.nsm = Arc::new(SoftwareNsm::new(&self.root, Module::from_image(image)));
    }

    /// Ends it as a machine that is gone (SIGKILL).
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.server.kill()
    }

    /// Starts it again after [`kill`](Self::kill), on the same ports and the same state; returns when it listens.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn start_again(&mut self) -> Result<(), Failure> {
        self.server = serve(&self.program, &self.config, [self.attestation, self.gateway]).await?;
        Ok(())
    }

    /// The same enclave on a new connection.
    ///
    /// # Errors
    /// No connection.
    pub(crate) async fn reconnect(&self, attester: Attester) -> Result<Enclave, Failure> {
        Enclave::connect_as(attester, self.attestation, &self.anchor).await
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
        command.arg(format!("{WORKLOAD}/{IMAGE}"));
        command
    }
}

impl Plan {
    /// A server's name and a root of their own, for enclaves that run these images.
    ///
    /// # Errors
    /// The cryptographic library's.
    pub(crate) fn new(images: Vec<String>) -> Result<Self, Failure> {
        let root = SimulatedRoot::generate(now_ms()?).context("simulated root")?;
        Ok(Self { identity: Identity::server()?, root, images, tables: String::new() })
    }

    /// With more tables in every configuration.
    pub(crate) fn with(mut self, tables: &str) -> Self {
        self.tables += tables;
        self
    }
}

async fn serve(program: &Path, config: &Path, ports: [SocketAddr; 2]) -> Result<Server, Failure> {
    let arguments = [OsStr::new("serve"), OsStr::new("--config"), config.as_os_str()];
    let log = config.with_file_name("log");
    let mut server = Server::start("countersign-proxy", program, &arguments, log)?;
    for port in ports {
        server.ready(port).await?;
    }
    Ok(server)
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
fn configuration(
    attestation: SocketAddr,
    gateway: SocketAddr,
    upstreams: &[SocketAddr],
    tables: &str,
) -> String {
    let destinations: Vec<_> = upstreams.iter().map(SocketAddr::to_string).collect();
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

{tables}
[[workload]]
name = "{WORKLOAD}"
destinations = {destinations:?}

[workload.limits]
max_sessions = 50000
max_tunnels_per_session = 20000
"#
    )
}

fn measurement(image: &str) -> String {
    format!("\n[[workload.measurement]]\nname = \"{image}\"\nstate = \"active\"\nfile = \"{image}.json\"\n")
}

/// The one workload.
pub(crate) const WORKLOAD: &str = "bench";
/// What enclaves run unless told otherwise; its measurement has the same name.
const IMAGE: &str = "release-1";
