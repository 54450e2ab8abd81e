use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::ClientConfig;

use crate::child::Server;
use crate::failure::{Context, Failure};
use crate::identity::{ClientAuthority, Identity};
use crate::proxy::{free_port, fresh};
use crate::settings::Settings;
use crate::tls;

/// A TCP proxy that asks for client certificates, configured by `tests/peers`, in front of one upstream.
pub(crate) struct Competitor {
    /// The process.
    pub(crate) server: Server,
    /// Where it takes TLS 1.3 with a client certificate.
    pub(crate) address: SocketAddr,
    /// A client that it lets in.
    pub(crate) client: Arc<ClientConfig>,
}

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HAProxy.
    HaProxy,
    /// nginx's stream module.
    Nginx,
}

impl Competitor {
    /// Starts it, or says that it is not installed and is left out.
    ///
    /// # Errors
    /// It is installed and does not start.
    pub(crate) async fn start(
        kind: Kind,
        settings: &Settings,
        upstream: SocketAddr,
    ) -> Result<Option<Self>, Failure> {
        let Some(program) = installed(kind.program()) else {
            println!("skipped: {} is not installed (tests/setup/bench.sh installs it)", kind.program());
            return Ok(None);
        };
        let run = fresh(settings, kind.program())?;
        let identity = Identity::server()?;
        identity.write_server(&run)?;
        let authority = ClientAuthority::new()?;
        authority.write(&run)?;
        let address = free_port()?;
        let template = settings.checkout.join("tests/peers").join(kind.template());
        let config = run.join(kind.template());
        let text = std::fs::read_to_string(&template).context(template.display())?;
        let folder = run.display().to_string();
        let filled = text
            .replace("@LISTEN@", &address.to_string())
            .replace("@LISTEN_PLAIN@", &free_port()?.to_string())
            .replace("@UPSTREAM@", &upstream.to_string())
            .replace("@CERTS@", &folder)
            .replace("@RUN@", &folder);
        std::fs::write(&config, filled).context(config.display())?;
        let arguments: Vec<&OsStr> = match kind {
            Kind::HaProxy => vec!["-db".as_ref(), "-f".as_ref(), config.as_os_str()],
            Kind::Nginx => vec!["-p".as_ref(), run.as_os_str(), "-c".as_ref(), config.as_os_str()],
        };
        let mut server = Server::start(kind.program(), &program, &arguments, run.join("log"))?;
        server.ready(address).await?;
        if kind == Kind::Nginx {
            server.count_worker()?;
        }
        let client = tls::client(identity.certificate(), authority.client()?, &[])?;
        Ok(Some(Self { server, address, client }))
    }
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Self::HaProxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::HaProxy => "haproxy.cfg",
            Self::Nginx => "nginx.conf",
        }
    }
}

/// Debian keeps servers where only root's PATH looks.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|directory| directory.join(program))
        .find(|file| Path::is_file(file))
}
