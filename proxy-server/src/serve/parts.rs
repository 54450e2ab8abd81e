use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use countersign_telemetry::Tracer;
use countersign_verifier::{CacheCapacity, Verifier};
use time::OffsetDateTime;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    ServeError, admin::AdminPort, background::Background, ends::audit_ends, lock::lock, open_files,
    witness::Outside,
};
#[cfg(feature = "aws")]
use crate::config::StsConfig;
use crate::{
    attest::{Admitter, AdmitterParts, AttestationPort, PortLimits},
    audit::AuditKey,
    ca::SessionCa,
    config::{Config, StorePlace, TrustRoot},
    credentials::Desk,
    gateway::{Gateway, GatewayConfig, GatewayTls},
    log::Chain,
    policy::{Policy, PolicyHandle},
    replica::{self, Elsewhere, Neighbours, ReplicaIdentity},
    session::{Sessions, SessionsLimits},
    store::{self, AuditWriter, Journal, Missing, Seeded, SessionRow, StoreConfig, UnixMs},
    telemetry::{GatewayMetrics, Health, Outlet, Telemetry},
};

/// Everything that runs, started in order and not serving yet.
pub(super) struct Parts {
    pub(super) background: Background,
    pub(super) attestation: AttestationPort,
    pub(super) gateway: Gateway,
    pub(super) admin: Option<AdminPort>,
    pub(super) listeners: Listeners,
    /// Ends after the last audit row, once the attestation port is gone.
    pub(super) journal: JoinHandle<()>,
    /// Held for as long as the proxy runs.
    pub(super) lock: fs::File,
}

impl Parts {
    /// `closing` is cancelled when nothing new is to be opened.
    pub(super) async fn start(
        config: &Config,
        closing: &CancellationToken,
        outlet: &Outlet,
    ) -> Result<Self, ServeError> {
        announce_root(&config.trust);
        open_files::raise(&config.limits);
        let lock = lock(&config.state_directory)?;
        let identity = ReplicaIdentity::open(&config.state_directory, config.replica_name.as_ref());
        let identity = identity.map_err(ServeError::Identity)?;
        let audit_key = Arc::new(AuditKey::open(&config.state_directory).map_err(ServeError::AuditKey)?);
        let audit = audit_key.public();
        let writer = AuditWriter::new(identity.id.to_bytes(), audit_key);
        let place = StoreConfig::new(&config.store, &config.state_directory);
        let store = store::open(&place, writer, Missing::Make).await?;
        // Before anything is written by what may be an old copy.
        let outside = Outside::compare(Arc::clone(&store), &config.state_directory, identity.id.to_bytes());
        let outside = outside.await?;
        report(&store.seed(&config.workloads, UnixMs::now()).await?);
        let stored = store.load().await?;
        let loaded = Policy::from_store(&stored, UnixMs::now()).map_err(ServeError::Policy)?;
        let sessions = Sessions::new(SessionsLimits {
            max_sessions: config.limits.sessions as usize,
            max_per_instance: config.limits.sessions_per_instance,
        });
        let policy = PolicyHandle::new(loaded);
        let elsewhere = match &config.store {
            StorePlace::File => {
                restore(&sessions, &policy.current(), store.sessions(UnixMs::now()).await?);
                Elsewhere::Nowhere
            }
            // Those of all replicas, of which this one needs some: they are looked up.
            StorePlace::Postgres { .. } => Elsewhere::Replicas(Arc::new(Neighbours::new(
                Arc::clone(&store) as _,
                policy.clone(),
                sessions.clone(),
            ))),
        };
        let now = OffsetDateTime::now_utc();
        let ca = super::boxed(SessionCa::start(&config.session_root, &config.state_directory, now));
        let ca = Arc::new(ca.await.map_err(ServeError::Ca)?);
        tracing::info!(code = "session-ca", root = %config.session_root, "session certificates stand under this root");
        let health = Health::new(policy.clone(), Some(Arc::clone(&ca)), stored.committed.at, closing.clone());
        let telemetry = Telemetry::new(policy.clone(), sessions.clone(), health, outlet.counts());
        let metrics = Arc::clone(&telemetry.metrics);
        let listeners = Listeners::bind(config).await?;
        let gateway = gateway(
            config,
            &ca,
            &sessions,
            &policy,
            elsewhere.clone(),
            listeners.addresses,
            Arc::clone(&metrics.gateway),
            outlet.tracer(),
        )?;
        let (journal, writing) = Journal::start_counted(Arc::clone(&store), metrics.journal.clone());
        audit_ends(&sessions, &journal, &policy, metrics.ends.clone());
        let admin = listeners.addresses.admin.map(|address| {
            let telemetry = telemetry.clone();
            AdminPort::new(config, address, Arc::clone(&store), policy.clone(), journal.clone(), telemetry)
        });
        let admin = admin.transpose()?;
        let admitter = Admitter::new(AdmitterParts {
            deployment: config.deployment.clone(),
            server_spki: config.identity.spki().to_vec(),
            lease_bounds: config.lease_bounds,
            window: config.window,
            verifier: Verifier::new(config.trust.anchor(), CacheCapacity::default()),
            policy: policy.clone(),
            sessions: sessions.clone(),
            elsewhere: elsewhere.clone(),
            replica: identity.id,
            ca: Arc::clone(&ca),
            journal: journal.clone(),
            attestations_per_instance: config.limits.attestations_per_instance,
            workers: tokio::runtime::Handle::current().metrics().num_workers(),
            metrics: metrics.attestation.clone(),
            tracer: outlet.tracer(),
        });
        let limits = PortLimits {
            connections: config.limits.attestation_connections,
            handshakes: config.limits.handshakes,
            load_balancers: config.listen.load_balancers.clone(),
        };
        let desk = desk(config, &policy, &sessions, &elsewhere, journal).await?;
        let attestation = AttestationPort::new(&config.identity, admitter, desk.clone(), limits);
        let attestation = attestation.map_err(ServeError::Tls)?;
        let background = Background {
            store,
            stored,
            policy,
            sessions,
            elsewhere,
            identity,
            audit,
            outside,
            ca,
            telemetry,
            desk,
        };
        Ok(Self { background, attestation, gateway, admin, listeners, journal: writing, lock })
    }
}

/// Who gives sessions AWS credentials, where the configuration has roles.
#[cfg(feature = "aws")]
async fn desk(
    config: &Config,
    policy: &PolicyHandle,
    sessions: &Sessions,
    elsewhere: &Elsewhere,
    journal: Journal,
) -> Result<Option<Desk>, ServeError> {
    use crate::credentials::{DeskParts, Sts};

    let Some(StsConfig { place, roles }) = &config.sts else { return Ok(None) };
    let sts = Sts::open(place).await.map_err(ServeError::Sts)?;
    for (workload, role) in roles {
        tracing::info!(code = "sts-role", %workload, role = %role.arn, region = %place.region, "sessions of the workload may have credentials");
        if policy.workload(workload).is_none() {
            tracing::warn!(code = "sts-role-without-workload", %workload, "[[sts.role]] names a workload that does not stand");
        }
    }
    Ok(Some(Desk::new(DeskParts {
        roles: roles.clone(),
        sts: Arc::new(sts),
        policy: policy.clone(),
        sessions: sessions.clone(),
        elsewhere: elsewhere.clone(),
        journal,
    })))
}

/// This build has no SDK to ask STS with, and its configuration takes no roles.
#[cfg(not(feature = "aws"))]
async fn desk(
    _: &Config,
    _: &PolicyHandle,
    _: &Sessions,
    _: &Elsewhere,
    _: Journal,
) -> Result<Option<Desk>, ServeError> {
    Ok(None)
}

/// All ports, bound before any serves: one that is taken stops the others.
pub(super) struct Listeners {
    pub(super) attestation: TcpListener,
    pub(super) gateway: TcpListener,
    pub(super) admin: Option<TcpListener>,
    pub(super) addresses: Addresses,
}

/// Where the ports really listen.
#[derive(Clone, Copy)]
pub(super) struct Addresses {
    pub(super) attestation: SocketAddr,
    pub(super) gateway: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, ServeError> {
        let bind = async |address: SocketAddr| {
            let bound =
                async { TcpListener::bind(address).await.and_then(|port| Ok((port.local_addr()?, port))) };
            bound.await.map_err(|source| ServeError::Listen { address, source })
        };
        let (attestation_at, attestation) = bind(config.listen.attestation).await?;
        let (gateway_at, gateway) = bind(config.listen.gateway).await?;
        let (admin_at, admin) = match config.admin.listen {
            Some(address) => bind(address).await.map(|(at, port)| (Some(at), Some(port)))?,
            None => (None, None),
        };
        let addresses = Addresses { attestation: attestation_at, gateway: gateway_at, admin: admin_at };
        Ok(Self { attestation, gateway, admin, addresses })
    }
}

impl Addresses {
    /// None of them is ever a destination.
    fn all(self) -> impl Iterator<Item = SocketAddr> {
        [Some(self.attestation), Some(self.gateway), self.admin].into_iter().flatten()
    }

    /// `{"attestation":"…","gateway":"…","admin":"…","pid":…}`, whole or not at all.
    pub(super) fn write(self, path: &Path) -> std::io::Result<()> {
        let Self { attestation, gateway, admin } = self;
        let json = serde_json::json!({
            "attestation": attestation, "gateway": gateway, "admin": admin, "pid": std::process::id(),
        });
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, format!("{json}\n"))?;
        fs::rename(&unfinished, path)
    }
}

/// What seeding changed, for the log.
pub(super) fn report(seeded: &Seeded) {
    for measurement in &seeded.kept_revoked {
        tracing::warn!(
            code = "kept-revoked",
            measurement,
            "the configuration lists PCRs that were revoked; they stay revoked"
        );
    }
    for change in &seeded.changes {
        tracing::info!(
            code = "policy-seeded",
            epoch = seeded.committed.epoch.0,
            change,
            "policy changed by the configuration"
        );
    }
    if seeded.changes.is_empty() {
        tracing::info!(
            code = "policy-unchanged",
            epoch = seeded.committed.epoch.0,
            "the store's policy is the configuration's"
        );
    }
}

/// A simulated root is said as loudly as a log can.
fn announce_root(root: &TrustRoot) {
    match root {
        TrustRoot::Amazon(anchor) => {
            tracing::info!(code = "trust-root", root = anchor.name(), "documents stand under Amazon's root")
        }
        #[cfg(feature = "simulator")]
        TrustRoot::DangerSimulated(anchor) => {
            tracing::error!(
                code = "trust-root-simulated",
                root = anchor.name(),
                "DANGER: documents are trusted under a SIMULATED root. Attestation proves NOTHING about any machine. \
                 For development only"
            );
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn gateway(
    config: &Config,
    ca: &SessionCa,
    sessions: &Sessions,
    policy: &PolicyHandle,
    elsewhere: Elsewhere,
    addresses: Addresses,
    metrics: Arc<GatewayMetrics>,
    tracer: Tracer,
) -> Result<Gateway, ServeError> {
    let gateway = GatewayConfig {
        drain: config.drain,
        max_handshakes: config.limits.handshakes as usize,
        max_connections: config.limits.gateway_connections as usize,
        own_addresses: addresses.all().collect(),
        load_balancers: config.listen.load_balancers.clone(),
        static_hosts: config.hosts.clone(),
        ..GatewayConfig::default()
    };
    let tls = GatewayTls {
        chain: config.identity.chain().to_vec(),
        key: config.identity.private_key(),
        session_roots: vec![ca.anchor().clone()],
    };
    Gateway::new(gateway, tls, sessions.clone(), policy.clone(), elsewhere, metrics, tracer)
        .map_err(ServeError::Gateway)
}

/// Sessions of the process before this one, as far as the policy still has what
/// admitted them: the enclaves do not notice the restart but for their connections.
fn restore(sessions: &Sessions, policy: &Policy, rows: Vec<SessionRow>) {
    let (now, wall) = (Instant::now(), UnixMs::now());
    let (mut restored, mut dropped) = (0u64, 0u64);
    for row in rows {
        let Ok(admission) = replica::admission(policy, &row) else {
            dropped += 1;
            continue;
        };
        let ends = replica::ends(&row, &admission, wall, now);
        match sessions.restore(row.id, admission, ends) {
            Ok(()) => restored += 1,
            Err(error) => {
                tracing::warn!(code = error.code().as_str(), session = %row.id, reason = %Chain(&error), "session not restored");
                dropped += 1;
            }
        }
    }
    tracing::info!(code = "sessions-restored", restored, dropped, "sessions of the process before");
}
