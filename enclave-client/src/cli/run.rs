use std::{collections::HashMap, fmt, io, path::Path, sync::Arc, time::Duration};

use countersign_protocol::{
    Destination,
    egress::{EgressPolicy, PolicyError},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    HostWay, IfUnattested, KmsStartError, LAST_WORDS, TransparentOptions,
    kms::{self, Variables},
    reports::{Reports, ReportsError},
    transparent::WayOut,
};
use crate::{
    attest::{Boot, Keeper, Nudge, ProxySite, SiteConfig, Status},
    child::{Application, Ended, StartError, Supervisor},
    device::Device,
    egress::{Egress, Enforcement, HostLink, Outer},
    init::{Inside, InsideError, ProxyHealth},
    key::{EnclaveKey, KeyError},
    kms::ProxyIssuer,
    local::{LocalProxy, LocalProxyLimits},
    manifest::{Manifest, ProxyEntry},
    peers::{PeersStartError, Service, config::Verifiers},
    pool::{Gateway, Pool},
    telemetry::{Collector, LateLayer, Telemetry},
    transparent::TransparentError,
    transport::Dial,
};

/// How `run` behaves.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// How bytes leave this machine.
    pub host: HostWay,
    /// What is done for programs that know no proxy.
    pub transparent: TransparentOptions,
    /// How long the application waits for the first grants.
    pub wait_attested: Duration,
    /// What happens then.
    pub if_unattested: IfUnattested,
    /// Whether the rules hold, or are being learnt.
    pub enforcement: Enforcement,
    /// The roots that peers' documents may lead to.
    pub peer_roots: Verifiers,
    /// Ingress, health and log.
    pub inside: Inside,
    /// Who is told what this program does.
    pub telemetry: TelemetryOptions,
}

/// Who is told.
#[derive(Clone, Default)]
pub struct TelemetryOptions {
    /// The collector, if one was named.
    pub collector: Option<Collector>,
    /// Where the log's lines are handed on.
    pub late: LateLayer,
}

impl fmt::Debug for TelemetryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TelemetryOptions").field(&self.collector).finish()
    }
}

/// How `run` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The application ended.
    Ended(Ended),
    /// A signal came before the application had started.
    Stopped(u8),
    /// The enclave was not attested in time, and the application was not to start then.
    Unattested,
}

/// Attests, serves the local proxy, runs the application; returns when it has ended.
///
/// # Errors
/// [`RunError`] when something could not be set up.
pub async fn run(
    manifest: Manifest,
    device: Device,
    application: &Application,
    options: RunOptions,
) -> Result<Outcome, RunError> {
    // First of all: a signal that comes now must not be lost.
    let mut supervisor = Supervisor::new().map_err(RunError::Signals)?;
    let local =
        LocalProxy::bind(manifest.proxy_port, LocalProxyLimits::default()).await.map_err(RunError::Listen)?;
    let proxy = local.address();
    let stop = CancellationToken::new();
    let _stop_at_return = stop.clone().drop_guard();
    let host = options.host.half().map(HostLink::new);
    let way = host.as_ref().map_or_else(|| "direct".to_owned(), |half| half.at().to_string());
    let rules = manifest.rules;
    let policy = EgressPolicy::new(rules.clone()).map_err(RunError::Policy)?;
    let names: Vec<_> = manifest.proxies.iter().map(|proxy| proxy.name.clone()).collect();
    let way_out = if host.is_some() { WayOut::Host } else { WayOut::Direct };
    let reports = Reports::new(options.telemetry, &policy, &options.enforcement, way_out)
        .map_err(RunError::Collector)?;
    let Proxies { gated, statuses, issuers } =
        start_proxies(manifest.proxies, host.as_ref(), &device, reports.telemetry(), &stop)?;
    let outer = host.map_or(Outer::Direct, Outer::Host);
    let peers = match manifest.peers.is_empty() && manifest.peer_ports.is_empty() {
        true => None,
        false => {
            Some(start_peers(&device, options.peer_roots, manifest.config_maps.as_deref(), &stop).await?)
        }
    };
    let egress = Arc::new_cyclic(|way| {
        let routes = peers.as_ref().map(|peers| peers.outbound(&manifest.peers, way)).unwrap_or_default();
        let egress = Egress::new(policy, gated, outer).with_enforcement(options.enforcement);
        egress.with_peers(routes).with_telemetry(reports.telemetry().clone())
    });
    let sessions = names.iter().cloned().zip(statuses.iter().cloned()).collect();
    let exporter = reports.start(&egress, sessions);
    if let Some(peers) = &peers {
        peers.listen(&manifest.peer_ports, &options.inside.ingress).await.map_err(RunError::Peers)?;
    }
    let listens = manifest.ingress.iter().map(|entry| entry.listen_port);
    let listens: Vec<_> =
        listens.chain(manifest.peer_ports.iter().map(|port| port.application_port)).collect();
    options
        .transparent
        .start(rules, &listens, way_out, egress.clone(), &stop)
        .await
        .map_err(RunError::Transparent)?;
    let variables = match manifest.kms {
        None => Variables::new(),
        Some(entry) => kms::start(entry, issuers, &egress, &device, &stop).await.map_err(RunError::Kms)?,
    };
    tokio::spawn(local.serve(egress, stop.clone()));
    let health = names.into_iter().zip(statuses.iter().cloned());
    let health = health.map(|(name, status)| ProxyHealth { name, status }).collect();
    options
        .inside
        .start(&manifest.ingress, &device, health, supervisor.state(), &stop)
        .await
        .map_err(RunError::Inside)?;
    info!(%proxy, host = %way, "local proxy listens");

    let attested = tokio::select! {
        signal = supervisor.stop_signal() => {
            return Ok(Outcome::Stopped(u8::try_from(signal.as_raw()).unwrap_or(0)));
        }
        attested = timeout(options.wait_attested, all_attested(statuses)) => attested.is_ok(),
    };
    if !attested && !options.wait_attested.is_zero() {
        warn!(code = "not-attested", "not attested after {} s", options.wait_attested.as_secs());
    }
    if !attested && options.if_unattested == IfUnattested::Exit {
        return Ok(Outcome::Unattested);
    }
    let ended = supervisor.run(application, proxy, variables).await;
    if let Some(exporter) = exporter {
        // Before what is open is cut: the collector may lie behind the proxy.
        exporter.finish(LAST_WORDS).await;
    }
    ended.map(Outcome::Ended).map_err(RunError::Start)
}

async fn start_peers(
    device: &Device,
    roots: Verifiers,
    config_maps: Option<&Path>,
    stop: &CancellationToken,
) -> Result<Service, RunError> {
    let config_maps = config_maps.ok_or(RunError::ConfigMaps)?;
    Service::start(device.clone(), roots, config_maps, stop).await.map_err(RunError::Peers)
}

/// Which pool leads to which destination.
type Gated = HashMap<Destination, Arc<Pool>>;

/// The manifest's proxies, started.
struct Proxies {
    gated: Gated,
    /// Where each one's attestation stands.
    statuses: Vec<watch::Receiver<Status>>,
    /// Each as an issuer of AWS credentials.
    issuers: Vec<ProxyIssuer>,
}

/// One keeper and one pool for each proxy.
fn start_proxies(
    entries: Vec<ProxyEntry>,
    host: Option<&HostLink>,
    device: &Device,
    telemetry: &Telemetry,
    stop: &CancellationToken,
) -> Result<Proxies, RunError> {
    let boot = Arc::new(Boot::new().map_err(|_| RunError::Random)?);
    let mut gated = Gated::new();
    let mut statuses = Vec::new();
    let mut issuers = Vec::new();
    for entry in entries {
        let ProxyEntry {
            name,
            attestation,
            gateway,
            gateway_port,
            interval,
            anchors,
            deployment,
            destinations,
        } = entry;
        let way = |dial: Dial| match host {
            Some(half) => dial.through(half),
            None => dial,
        };
        let (attestation, gateway) = (way(attestation), way(gateway));
        let gateway = Gateway::new(&name, gateway).map_err(RunError::Tls)?;
        let counted = name.clone();
        let site = ProxySite::new(SiteConfig {
            name,
            attestation,
            gateway_port,
            anchors,
            deployment,
            key: EnclaveKey::generate().map_err(RunError::Key)?,
            device: device.clone(),
            boot: boot.clone(),
        })
        .map_err(RunError::Tls)?;
        let nudge = Nudge::default();
        let (keeper, status) = Keeper::new(site.clone(), interval, nudge.clone());
        let pool = Pool::new(gateway, status.clone(), nudge);
        tokio::spawn(keeper.counted(&counted, telemetry).run(stop.clone()));
        tokio::spawn(pool.clone().maintain(stop.clone()));
        gated.extend(destinations.into_iter().map(|destination| (destination, pool.clone())));
        issuers.push(ProxyIssuer::new(site, status.clone()));
        statuses.push(status);
    }
    Ok(Proxies { gated, statuses, issuers })
}

/// Returns when each proxy has granted a session once.
async fn all_attested(statuses: Vec<watch::Receiver<Status>>) {
    for mut status in statuses {
        let granted = |status: &Status| status.session(tokio::time::Instant::now()).is_ok();
        if status.wait_for(granted).await.is_err() {
            // The keeper is gone: the program stops.
            std::future::pending::<()>().await;
        }
    }
}

/// What could not be set up.
#[derive(Debug)]
pub enum RunError {
    /// Signal handlers.
    Signals(io::Error),
    /// The local proxy's port.
    Listen(io::Error),
    /// The rules make no policy.
    Policy(PolicyError),
    /// The random number generator.
    Random,
    /// K.
    Key(KeyError),
    /// TLS.
    Tls(rustls::Error),
    /// Ingress or health.
    Inside(InsideError),
    /// The transparent mode.
    Transparent(TransparentError),
    /// The KMS endpoint.
    Kms(KmsStartError),
    /// The manifest has peers, and nobody said where their ConfigMaps are.
    ConfigMaps,
    /// Peers.
    Peers(PeersStartError),
    /// The collector that was named.
    Collector(ReportsError),
    /// The application.
    Start(StartError),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signals(_) => "signals cannot be handled",
            Self::Listen(_) => "the local proxy cannot listen",
            Self::Policy(_) => "the manifest's rules make no policy",
            Self::Random => "the system gives no random numbers",
            Self::Key(_) => "no session key",
            Self::Tls(_) => "TLS cannot be configured",
            Self::Inside(_) => "what the enclave offers to the outside was not started",
            Self::Transparent(_) => "the transparent mode did not start",
            Self::Kms(_) => "the local KMS was not started",
            Self::ConfigMaps => {
                "the manifest has peers: add --config-maps DIR, where DIR/NAME/peer.yaml says who each is"
            }
            Self::Peers(_) => "peers are not served",
            Self::Collector(_) => "the collector that was named cannot be told",
            Self::Start(_) => "the application was not started",
        })
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Signals(why) | Self::Listen(why) => Some(why),
            Self::Policy(why) => Some(why),
            Self::Random | Self::ConfigMaps => None,
            Self::Peers(why) => Some(why),
            Self::Key(why) => Some(why),
            Self::Tls(why) => Some(why),
            Self::Inside(why) => Some(why),
            Self::Transparent(why) => Some(why),
            Self::Kms(why) => Some(why),
            Self::Collector(why) => Some(why),
            Self::Start(why) => Some(why),
        }
    }
}
