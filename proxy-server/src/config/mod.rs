//! `countersign.toml`: what the user wrote, and what it means.
//!
//! [`raw`] keeps the words and where they stand; [`Config`] cannot be wrong any
//! more. Between the two, [`check`] collects every mistake instead of stopping
//! at the first. `docs/configuration.md` is the reference.

mod admin;
mod check;
mod files;
mod limits;
mod machine;
mod mistake;
mod raw;
mod reader;
mod replica;
mod session_ca;
mod store;
mod sts;
mod telemetry;
mod trust;
mod workloads;

use std::{collections::HashMap, net::IpAddr, net::SocketAddr, path::Path, path::PathBuf, time::Duration};

use countersign_protocol::{Deployment, LeaseBounds};

use crate::{ca::SessionRoot, proxy_protocol::LoadBalancers};

pub use admin::AdminConfig;
pub use files::ServerIdentity;
pub use limits::{AuditRetention, ProxyLimits};
pub use machine::{MachineConfig, MachineRules};
pub use mistake::{Mistake, Mistakes};
pub use replica::ReplicaName;
pub use store::{Hints, StorePlace, WhenStale};
pub use sts::StsConfig;
pub(crate) use sts::role_of;
pub use telemetry::TelemetryConfig;
pub use trust::TrustRoot;
pub(crate) use workloads::BYTES_PER_SECOND;
pub use workloads::{MeasurementSpec, MeasurementState, WorkloadSpec};

/// A configuration whose every value was checked, files read included.
#[derive(Clone, Debug)]
pub struct Config {
    /// The installation's name, part of every binder.
    pub deployment: Deployment,
    /// Holds the store and the session CA's root.
    pub state_directory: PathBuf,
    /// Where the two ports listen.
    pub listen: Listen,
    /// What this proxy shows to clients, on both ports.
    pub identity: ServerIdentity,
    /// Under which root documents must stand.
    pub trust: TrustRoot,
    /// Where the session CA's root is.
    pub session_root: SessionRoot,
    /// How old, or how far ahead, a document may be.
    pub window: DocumentWindow,
    /// Leases given here; a workload's own bounds lie inside.
    pub lease_bounds: LeaseBounds,
    /// How much the proxy takes on.
    pub limits: ProxyLimits,
    /// What of the audit is kept.
    pub audit: AuditRetention,
    /// Which database.
    pub store: StorePlace,
    /// What happens to tunnels when it does not answer.
    pub when_stale: WhenStale,
    /// How this replica is called; `None` is the host's name.
    pub replica_name: Option<ReplicaName>,
    /// The admin API.
    pub admin: AdminConfig,
    /// The shape of log lines.
    pub log: LogFormat,
    /// Who is told of it all.
    pub telemetry: TelemetryConfig,
    /// Names resolved from here, before DNS.
    pub hosts: HashMap<String, Vec<IpAddr>>,
    /// Worker threads; `None` is one for each processor.
    pub workers: Option<usize>,
    /// How long open tunnels may go on after the signal to stop.
    pub drain: Duration,
    /// Which workloads are given AWS credentials; `None` is none of them.
    pub sts: Option<StsConfig>,
    /// What the store is seeded with.
    pub workloads: Vec<WorkloadSpec>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Every mistake in it, with line and column.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let text = std::fs::read_to_string(path).map_err(|error| Mistakes::unreadable(path, &error))?;
        Self::parse(&text, path)
    }

    /// Checks a text. `path` names it in mistakes, and relative paths in it
    /// start at that file's directory.
    ///
    /// # Errors
    /// Every mistake in it, with line and column.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Mistakes> {
        let found = mistake::Collector::default();
        let raw = raw::read(text, &found);
        let config = check::check(raw, beside(path), &found);
        match (config, found.into_mistakes(path, text)) {
            (Some(config), None) => Ok(config),
            (_, Some(mistakes)) => Err(mistakes),
            (None, None) => Err(Mistakes::incomplete(path)),
        }
    }
}

/// Where relative paths in the file start.
fn beside(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// Where the two ports listen. Port 0 asks the system for a free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The attestation port.
    pub attestation: SocketAddr,
    /// The gateway port.
    pub gateway: SocketAddr,
    /// Who says for both ports, in a header of the PROXY protocol, whose connection it is.
    pub load_balancers: LoadBalancers,
}

/// How far a document's timestamp may lie from the proxy's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentWindow {
    /// The oldest document taken.
    pub past: Duration,
    /// The allowance for a proxy clock that is behind.
    pub future: Duration,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

#[cfg(test)]
mod tests;
