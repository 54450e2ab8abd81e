use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::child::Server;
use crate::competitor::installed;
use crate::failure::{Context, Failure};
use crate::proxy::{free_port, fresh};
use crate::settings::Settings;
use crate::tunnel::way::Way;

/// What carries connections from the load to the upstream: one process, or several with a UNIX socket between.
pub(super) struct Chain {
    /// For the report.
    pub(super) name: &'static str,
    /// How the load asks.
    pub(super) way: Way,
    /// All of its processes.
    pub(super) servers: Vec<Server>,
}

/// Who carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `countersign-enclave run` and `countersign-enclave host`.
    Ours,
    /// Two socats.
    SocatPair,
    /// Two HAProxys in TCP mode.
    HaProxyPair,
    /// Two HAProxys in TCP mode, and tinyproxy behind them: what does our work when it is put together of such parts.
    HaProxyPairTinyproxy,
    /// tinyproxy, alone.
    Tinyproxy,
    /// squid, alone.
    Squid,
}

impl Kind {
    /// Ours first.
    pub(super) const ALL: [Self; 6] = [
        Self::Ours,
        Self::SocatPair,
        Self::HaProxyPair,
        Self::HaProxyPairTinyproxy,
        Self::Tinyproxy,
        Self::Squid,
    ];

    /// Whether this is a pair of relays that look at nothing.
    pub(super) fn is_relay_pair(name: &str) -> bool {
        [Self::SocatPair, Self::HaProxyPair].iter().any(|kind| kind.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::SocatPair => "socat-pair",
            Self::HaProxyPair => "haproxy-pair",
            Self::HaProxyPairTinyproxy => "haproxy-pair-tinyproxy",
            Self::Tinyproxy => "tinyproxy",
            Self::Squid => "squid",
        }
    }

    /// The program of each process; `None` where one is not installed.
    fn programs(self, settings: &Settings) -> Option<Vec<PathBuf>> {
        let names: &[&str] = match self {
            Self::Ours => return Some(vec![settings.enclave.clone(); 2]),
            Self::SocatPair => &["socat", "socat"],
            Self::HaProxyPair => &["haproxy", "haproxy"],
            Self::HaProxyPairTinyproxy => &["tinyproxy", "haproxy", "haproxy"],
            Self::Tinyproxy => &["tinyproxy"],
            Self::Squid => &["squid"],
        };
        names.iter().map(|name| installed(name)).collect()
    }
}

impl Chain {
    /// Starts it, or says that it is not installed and is left out.
    ///
    /// # Errors
    /// It is installed and does not start.
    pub(super) async fn start(
        kind: Kind,
        settings: &Settings,
        upstream: SocketAddr,
    ) -> Result<Option<Self>, Failure> {
        let name = kind.name();
        let Some(programs) = kind.programs(settings) else {
            println!("skipped: {name} is not installed (tests/setup/bench.sh installs it)");
            return Ok(None);
        };
        let run = fresh(settings, name)?;
        let listen = free_port()?;
        let plan = Plan { run: &run, listen, socket: run.join("between.sock"), upstream };
        let mut servers = Vec::new();
        for (index, (program, arguments)) in programs.iter().zip(plan.arguments(kind)?).enumerate() {
            let arguments: Vec<_> = arguments.iter().map(OsString::as_os_str).collect();
            servers.push(Server::start(name, program, &arguments, run.join(format!("log{index}")))?);
        }
        // The last one is the one that the load asks.
        servers.last_mut().context("no process")?.ready(listen).await?;
        let way = match kind {
            Kind::SocatPair | Kind::HaProxyPair => Way::Direct { upstream: listen },
            Kind::Ours | Kind::HaProxyPairTinyproxy | Kind::Tinyproxy | Kind::Squid => {
                Way::Connect { proxy: listen, upstream }
            }
        };
        Ok(Some(Self { name, way, servers }))
    }
}

/// Where one chain lives.
struct Plan<'a> {
    run: &'a Path,
    listen: SocketAddr,
    socket: PathBuf,
    upstream: SocketAddr,
}

impl Plan<'_> {
    /// The arguments of each process, the one that the load asks last.
    fn arguments(&self, kind: Kind) -> Result<Vec<Vec<OsString>>, Failure> {
        let Self { run: _, listen, socket, upstream } = self;
        let between = socket.display();
        let (ip, port) = (listen.ip(), listen.port());
        Ok(match kind {
            Kind::Ours => {
                let manifest = self.write(
                    "countersign.yaml",
                    &format!("version: v1\negress:\n  proxy_port: {port}\n  allow: [\"{upstream}\"]\n"),
                )?;
                let host = format!("host --egress unix:{between} --outer-limit none --logs off");
                let client = format!("run --host unix:{between} --manifest {manifest} -- sleep infinity");
                vec![words(&host), words(&client)]
            }
            Kind::SocatPair => vec![
                words(&format!("-b 65536 UNIX-LISTEN:{between},fork,backlog=1024 TCP:{upstream},nodelay")),
                words(&format!(
                    "-b 65536 TCP-LISTEN:{port},bind={ip},fork,reuseaddr,nodelay,backlog=1024 UNIX-CONNECT:{between}"
                )),
            ],
            Kind::HaProxyPair => self.haproxies(*upstream)?,
            Kind::HaProxyPairTinyproxy => {
                let behind = free_port()?;
                [vec![self.tinyproxy(behind)?], self.haproxies(behind)?].concat()
            }
            Kind::Tinyproxy => vec![self.tinyproxy(*listen)?],
            Kind::Squid => {
                // As root it wants to be somebody else: `proxy` comes with Debian's package.
                let text = format!(
                    "http_port {listen}\npid_filename none\nhttp_access allow all\ncache deny all\naccess_log none\n\
                     cache_log /dev/null\ncache_effective_user proxy\nclient_ip_max_connections -1\n\
                     shutdown_lifetime 1 second\npinger_enable off\n"
                );
                vec![words(&format!("-N -f {}", self.write("squid.conf", &text)?))]
            }
        })
    }

    /// One on each side of the UNIX socket, the inner one last.
    fn haproxies(&self, next: SocketAddr) -> Result<Vec<Vec<OsString>>, Failure> {
        let between = self.socket.display();
        let half = |name: &str, bind: &str, server: &str| {
            self.write(name, &format!("{HAPROXY}listen half\n    bind {bind}\n    server next {server}\n"))
        };
        let outer = half("outer.cfg", &format!("unix@{between}"), &next.to_string())?;
        let inner = half("inner.cfg", &self.listen.to_string(), &format!("unix@{between}"))?;
        Ok(vec![words(&format!("-db -f {outer}")), words(&format!("-db -f {inner}"))])
    }

    fn tinyproxy(&self, listen: SocketAddr) -> Result<Vec<OsString>, Failure> {
        let text = format!(
            "Listen {}\nPort {}\nTimeout 3600\nMaxClients 10000\nLogLevel Critical\nDisableViaHeader Yes\n",
            listen.ip(),
            listen.port()
        );
        Ok(words(&format!("-d -c {}", self.write("tinyproxy.conf", &text)?)))
    }

    fn write(&self, name: &str, text: &str) -> Result<String, Failure> {
        let path = self.run.join(name);
        std::fs::write(&path, text).context(path.display())?;
        Ok(path.display().to_string())
    }
}

/// No argument here has a space in it.
fn words(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

/// One thread, plain TCP, idle connections that outlive the measurement.
const HAPROXY: &str = "global\n    nbthread 1\ndefaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n";
