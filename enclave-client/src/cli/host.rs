use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use countersign_telemetry::otlp::{BadSetting, Otlp, TcpConnect};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{EXIT_OS, EXIT_USAGE, LAST_WORDS, runtime::runtime, telemetry::TelemetryArgs};
use crate::{
    attest::chain,
    host::{Host, HostError, HostOptions, IngressRoute, Rules, names::SystemResolver},
    manifest::Manifest,
    telemetry::{Collector, Exporter, Figures, LateLayer, Report, Telemetry},
    transport::Listen,
};

/// The untrusted half on the parent machine.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HostArgs {
    /// Where the enclave's connections come in: vsock:PORT, unix:/path or tcp:address:port
    #[arg(long, value_name = "AT", default_value = "vsock:12280")]
    egress: Listen,
    /// What may be reached from here, whatever the enclave's own policy says
    #[arg(long, value_enum, default_value_t)]
    outer_limit: OuterLimitWord,
    /// A file of EgressRuleSets (YAML), or a directory of such files; repeat for more.
    /// What one of them allows passes, nothing else. Read again when it changes
    #[arg(long, value_name = "PATH")]
    egress_rules: Vec<PathBuf>,
    /// The enclave's CID, as `nitro-cli describe-enclaves` shows it: ingress and health go
    /// there, and vsock connections of any other are dropped
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=0xffff_fffe))]
    cid: Option<u32>,
    /// A port to take connections on and carry into the enclave: [ADDRESS:]PORT, to the same
    /// vsock port of --cid, or [ADDRESS:]PORT=vsock:CID:PORT, or =unix:/path; repeat for more
    #[arg(long, value_name = "PORT[=TO]")]
    ingress: Vec<IngressRoute>,
    /// Take the ports of ingress and of peers of this manifest too
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Where ConfigMaps are mounted, if that manifest needs them
    #[arg(long, value_name = "DIR", requires = "manifest")]
    config_maps: Option<PathBuf>,
    /// Where the enclave's log lines come in, which go to standard output; `off`: nowhere
    #[arg(long, value_name = "AT", default_value = "vsock:12281")]
    logs: LogsAt,
    /// Answer GET /healthz here, for this program and for the enclave of --cid
    #[arg(long, value_name = "ADDRESS:PORT")]
    health: Option<SocketAddr>,
    /// Connections at a time, of egress and of ingress each
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = connections)]
    connections: usize,
    /// After SIGTERM or SIGINT: how long open connections may go on
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=3600))]
    drain: u64,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

/// Whether there is an outer limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum OuterLimitWord {
    /// Only what the EgressRuleSets of --egress-rules name; without any, nothing
    #[default]
    RuleSets,
    /// None: the enclave's own policy alone decides
    None,
}

/// Where log lines come in, or nowhere.
#[derive(Clone, Debug)]
struct LogsAt(Option<Listen>);

impl std::str::FromStr for LogsAt {
    type Err = crate::transport::TransportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" { Ok(Self(None)) } else { text.parse().map(|at| Self(Some(at))) }
    }
}

fn connections(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST_CONNECTIONS).contains(number));
    number.ok_or_else(|| format!("expected 1 to {MOST_CONNECTIONS}"))
}

impl HostArgs {
    pub(super) fn execute(self, late: LateLayer) -> ExitCode {
        let collector = match self.telemetry.collector(SERVICE, None) {
            Ok(collector) => collector,
            Err(why) => {
                error!(code = "telemetry-invalid", "{why}");
                return ExitCode::from(EXIT_USAGE);
            }
        };
        let options = match self.options() {
            Ok(options) => options,
            Err(lines) => {
                for line in lines {
                    error!(code = "usage", "{line}");
                }
                return ExitCode::from(EXIT_USAGE);
            }
        };
        raise_descriptors(&options);
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(why) => {
                error!(code = "os-failed", "no runtime: {why}");
                return ExitCode::from(EXIT_OS);
            }
        };
        let code = runtime.block_on(serve(options, collector, late));
        // A name may still be looked up; nobody waits for it any more.
        runtime.shutdown_background();
        code
    }

    fn options(self) -> Result<HostOptions, Vec<String>> {
        let rules = match self.outer_limit {
            OuterLimitWord::RuleSets => Rules::Sets(self.egress_rules),
            OuterLimitWord::None if self.egress_rules.is_empty() => Rules::Unlimited,
            OuterLimitWord::None => {
                return Err(vec![
                    "--outer-limit none: then --egress-rules would limit nothing; give one of the two".into(),
                ]);
            }
        };
        let mut ingress = self.ingress;
        if let Some(path) = self.manifest {
            let manifest = Manifest::load(&path, self.config_maps.as_deref())
                .map_err(|why| why.lines(&path.display().to_string()))?;
            let ports = manifest.ingress.iter().map(|entry| entry.listen_port);
            for port in ports.chain(manifest.peer_ports.iter().map(|port| port.listen_port)) {
                // A way in that was written here says more than the manifest's.
                if !ingress.iter().any(|route| route.port == port) {
                    ingress.push(IngressRoute::of_port(port));
                }
            }
        }
        Ok(HostOptions {
            egress: self.egress,
            logs: self.logs.0,
            cid: self.cid,
            ingress,
            rules,
            health: self.health,
            connections: self.connections,
            drain: Duration::from_secs(self.drain),
        })
    }
}

async fn serve(options: HostOptions, collector: Option<Collector>, late: LateLayer) -> ExitCode {
    let (reload, reloaded) = watch::channel(());
    let stop = CancellationToken::new();
    // First of all: a signal that comes now must not be lost.
    if let Err(why) = listen_to_signals(reload, stop.clone()) {
        error!(code = "os-failed", "signals cannot be handled: {why}");
        return ExitCode::from(EXIT_OS);
    }
    match Host::bind(options, Arc::new(SystemResolver)).await {
        Ok(host) => {
            let (telemetry, exporter) = match collector.map(|collector| start(&collector, &late)).transpose()
            {
                Ok(started) => started.unzip(),
                Err(why) => {
                    error!(code = "telemetry-invalid", "{}", chain(&why));
                    return ExitCode::from(EXIT_USAGE);
                }
            };
            host.with_telemetry(telemetry.unwrap_or_default()).run(tokio::io::stdout(), reloaded, stop).await;
            if let Some(exporter) = exporter {
                exporter.finish(LAST_WORDS).await;
            }
            ExitCode::SUCCESS
        }
        Err(HostError::Rules(why)) => {
            for line in why.lines() {
                error!(code = "egress-rules-invalid", "{line}");
            }
            ExitCode::from(EXIT_USAGE)
        }
        Err(error) => {
            error!(code = "host-failed", "{}", chain(&error));
            ExitCode::from(if matches!(error, HostError::NoCid(_)) { EXIT_USAGE } else { EXIT_OS })
        }
    }
}

/// The parent has a network, and no policy but that of whoever started this: it dials the collector itself.
fn start(collector: &Collector, late: &LateLayer) -> Result<(Telemetry, Exporter), BadSetting> {
    info!(code = "telemetry", collector = %collector.destination(), "traces, metrics and logs go to a collector");
    let otlp = Otlp::new(collector.settings().clone())?;
    late.set(otlp.layer());
    let figures = Arc::new(Figures::default());
    let telemetry = Telemetry::new(otlp.tracer(), Some(figures.clone()));
    let report = Report { figures, sessions: Vec::new(), counts: otlp.counts() };
    Ok((telemetry, Exporter::start(otlp, TcpConnect, report)))
}

/// SIGTERM and SIGINT stop, a second one at once; SIGHUP reads the rule sets.
fn listen_to_signals(reload: watch::Sender<()>, stop: CancellationToken) -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            let (name, number) = tokio::select! {
                _ = term.recv() => ("SIGTERM", 15),
                _ = int.recv() => ("SIGINT", 2),
                _ = hup.recv() => {
                    info!("SIGHUP: reading the egress rule sets");
                    reload.send_replace(());
                    continue;
                }
            };
            if stop.is_cancelled() {
                warn!(code = "stopped-at-once", "{name} again: not waiting for connections");
                std::process::exit(128 + number);
            }
            info!("{name}: taking no further connection");
            stop.cancel();
        }
    });
    Ok(())
}

/// Two descriptors a connection, and as many again for ingress. The soft limit is
/// this process's own to raise (getrlimit(2)).
fn raise_descriptors(options: &HostOptions) {
    let wanted = options.connections as u64 * 4 + SPARE_DESCRIPTORS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current.filter(|current| *current < wanted) else { return };
    let raised = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    let raised = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(_) => current,
    };
    if raised < wanted {
        warn!(
            code = "few-descriptors",
            "{raised} file descriptors are allowed, {wanted} may be needed: raise LimitNOFILE or lower --connections"
        );
    }
}

/// What this program is called at a collector.
const SERVICE: &str = "countersign-host";

/// Listeners, rule files, names being looked up.
const SPARE_DESCRIPTORS: u64 = 512;

const MOST_CONNECTIONS: usize = 1_000_000;

const EXAMPLES: &str = "\
Examples:
  On an EC2 instance, for the enclave with CID 16, whose own policy is limit enough:
    countersign-enclave host --cid 16 --outer-limit none --ingress 443
  With the cluster's rule sets, and the ingress ports of the manifest:
    countersign-enclave host --cid 16 --egress-rules /etc/countersign/egress.d --manifest countersign.yaml
  Without an enclave, for a test:
    countersign-enclave host --egress unix:/tmp/host.sock --logs off --outer-limit none
    countersign-enclave run --host unix:/tmp/host.sock --manifest countersign.yaml -- curl https://example.com

Signals: SIGHUP reads the rule sets at once; SIGTERM and SIGINT stop after --drain.
Exit codes: 0 stopped by a signal; 128 + signal stopped by a second one; 2 wrong usage or rule sets; 71 the system refused something.
docs/host.md tells what is carried, and what an untrusted parent can do.";
