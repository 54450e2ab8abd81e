use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use countersign_simulator::{Module, SimulatedRoot};

use crate::{Identity, SERVER_NAME, Scratch, now_ms};

/// What a test changes about the proxy that it gets.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Destinations of the workload `payments`.
    pub destinations: Vec<String>,
    /// Special addresses that its names may lead to.
    pub addresses: Vec<&'static str>,
    /// Names that the proxy does not look up.
    pub hosts: Vec<(&'static str, &'static str)>,
    /// More lines for `[listen]`.
    pub listen: &'static str,
    /// More lines for `[limits]`.
    pub limits: &'static str,
    /// More tables.
    pub tables: String,
    /// Tunnels of one session.
    pub max_tunnels: u32,
    /// More lines for `[admin]`.
    pub admin: &'static str,
    /// Variables of a proxy that runs as a program.
    pub environment: Vec<(&'static str, String)>,
}

impl Default for Setup {
    /// A workload that may go nowhere, with measurements 1.0 and 2.0.
    fn default() -> Self {
        Self {
            destinations: Vec::new(),
            addresses: Vec::new(),
            hosts: Vec::new(),
            listen: "",
            limits: "",
            tables: String::new(),
            max_tunnels: 64,
            admin: "",
            environment: Vec::new(),
        }
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
        let (certificate, key) = Identity::server("localhost").pem();
        file("admin.pem", certificate.as_bytes());
        file("admin.key", key.as_bytes());
        let Self {
            destinations,
            addresses,
            hosts,
            listen,
            limits,
            tables,
            max_tunnels,
            admin,
            environment: _,
        } = self;
        let mut text = format!(
            "deployment = \"e2e\"\nstate_directory = \"state\"\ndrain_seconds = 5\n\
             [listen]\nattestation = \"127.0.0.1:0\"\ngateway = \"127.0.0.1:0\"\n{listen}\n\
             [tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\ncertificate = \"admin.pem\"\nkey = \"admin.key\"\n{admin}\n\
             [trust]\ndanger_simulated_root = \"root.der\"\n[limits]\n{limits}\n[hosts]\n"
        );
        for (name, address) in hosts {
            writeln!(text, "\"{name}\" = [\"{address}\"]").unwrap();
        }
        text += tables;
        write!(
            text,
            "\n[[workload]]\nname = \"payments\"\ndestinations = {destinations:?}\naddresses = {addresses:?}\n\
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

/// The files of one proxy, and what they were made from.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) scratch: Scratch,
    pub(crate) root: SimulatedRoot,
    pub(crate) server: Arc<Identity>,
    pub(crate) configuration: PathBuf,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Installation {
    pub(crate) fn new(setup: &Setup) -> Self {
        let root = SimulatedRoot::generate(now_ms()).unwrap();
        Self::sharing(setup, root, Arc::new(Identity::server(SERVER_NAME)))
    }

    /// Another one that enclaves cannot tell from those with this root and this key.
    pub(crate) fn sharing(setup: &Setup, root: SimulatedRoot, server: Arc<Identity>) -> Self {
        let scratch = Scratch::new("proxy");
        let configuration = setup.write(scratch.path(), &root, &server);
        Self { scratch, root, server, configuration, environment: setup.environment.clone() }
    }
}
