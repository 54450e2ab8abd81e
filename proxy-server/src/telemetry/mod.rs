//! What the proxy tells of itself: figures for Prometheus, whether it is ready, and
//! the last half hour.
//!
//! ```text
//!   attest, gateway, store, admin ──count──► Metrics ──┬─► GET /metrics
//!   policy, sessions, session CA ──are asked──────────►│
//!                                        every 5 s ────┴─► History ─► GET /v1/status, web page
//!   policy, session CA, clock, stop ──► Health ─────────► GET /readyz, GET /v1/status
//! ```
//!
//! Labels are `&'static str` throughout: their values are those written in this
//! program, so that nobody outside can make more of them. The one exception are
//! names of workloads, which administrators give, and of which
//! [`MOST_WORKLOADS`](standing) are told.
//!
//! Nothing here decides anything, and nothing that carries bytes waits for it.

mod by_code;
mod collected;
mod exposition;
mod health;
mod history;
mod metrics;
mod outlet;
mod process;
mod recent;
mod sharded;
mod standing;
pub(crate) mod trace;

use std::sync::Arc;

use countersign_telemetry::Counts;

pub use health::{Check, CheckName, Health, State};
pub use history::{History, Point};
pub use metrics::{
    AdminMetrics, AttestationMetrics, Decision, EndMetrics, GatewayMetrics, JournalMetrics, Metrics,
};
pub use outlet::Outlet;
pub use recent::RecentRefusal;
pub use standing::{Lapsing, Standing};

use crate::{
    policy::PolicyHandle,
    session::{Sessions, SessionsLimits},
    store::UnixMs,
};

/// All of it, for whoever shows it.
#[derive(Clone)]
pub struct Telemetry {
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// Whether it is ready.
    pub health: Health,
    /// What it was like lately.
    pub history: Arc<History>,
    /// Sessions of this process; none where no proxy runs.
    pub sessions: Sessions,
}

impl Telemetry {
    /// Of a process with these sessions, started now.
    /// `counts` tells what became of what a collector was to be told.
    pub fn new(policy: PolicyHandle, sessions: Sessions, health: Health, counts: Counts) -> Self {
        let standing =
            Standing { sessions: sessions.clone(), policy, health: health.clone(), started: UnixMs::now() };
        Self { metrics: Arc::new(Metrics::new(standing, counts)), health, history: Arc::default(), sessions }
    }

    /// Of a process that has a policy and serves no tunnels: commands, and tests of one port.
    pub fn of_policy(policy: PolicyHandle) -> Self {
        let sessions = Sessions::new(SessionsLimits { max_sessions: 0, max_per_instance: 0 });
        let health = Health::of_policy(policy.clone());
        Self::new(policy, sessions, health, Counts::default())
    }
}
