//! Figures that are asked for, not counted: what holds at the moment of a look.

use std::{collections::BTreeMap, fmt, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
    registry::Registry,
};

use super::Health;
use crate::{policy::PolicyHandle, session::Sessions, store::UnixMs};

pub use crate::session::Lapsing;

/// Who is asked.
#[derive(Clone)]
pub struct Standing {
    /// What lives here.
    pub sessions: Sessions,
    /// What is in force here.
    pub policy: PolicyHandle,
    /// Whether it is ready.
    pub health: Health,
    /// When this process started.
    pub started: UnixMs,
}

impl Standing {
    pub(super) fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing").field("health", &self.health).finish_non_exhaustive()
    }
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Self { sessions, policy, health, started } = self;
        let now = UnixMs::now();
        let census = sessions.census();
        let mut gauge = |name, help, value: f64| {
            ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge("sessions", "Live sessions that this replica knows", census.sessions as f64)?;
        gauge("tunnels", "Open tunnels on this replica", census.tunnels as f64)?;
        gauge(
            "sessions_lapsing",
            "Sessions with less than 10 s of lease left: they have missed a renewal",
            sessions.lapsing(Lapsing::SOON, 0).count as f64,
        )?;
        gauge("policy_epoch", "The policy in force on this replica", policy.epoch().0 as f64)?;
        gauge(
            "policy_enforced_epoch",
            "The policy in force with everything cut that it does not allow",
            policy.enforced().0 as f64,
        )?;
        gauge("store_silence_seconds", "Since the store last answered", policy.silent_for().as_secs_f64())?;
        gauge("start_timestamp_seconds", "When this process started", seconds(*started))?;
        if let Some(until) = health.issues_until() {
            gauge(
                "session_ca_expiry_timestamp_seconds",
                "Until when session certificates can be issued",
                seconds(until),
            )?;
        }
        let mut tunnels: BTreeMap<String, u64> = BTreeMap::new();
        for holding in census.holding {
            *tunnels.entry(holding.workload.name.to_string()).or_default() += holding.tunnels;
        }
        let mut tunnels: Vec<_> = tunnels.into_iter().collect();
        tunnels.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let mut family = encoder.encode_descriptor(
            "workload_tunnels",
            "Open tunnels on this replica by workload; the workloads that hold most",
            None,
            MetricType::Gauge,
        )?;
        for (workload, count) in tunnels.into_iter().take(MOST_WORKLOADS) {
            ConstGauge::new(count as f64)
                .encode(family.encode_family(&[("workload", workload.as_str())])?)?;
        }
        let mut family = encoder.encode_descriptor(
            "check",
            "1 while this check of readiness passes, 0 while it fails",
            None,
            MetricType::Gauge,
        )?;
        for check in health.checks(now) {
            let value = if check.found.is_ok() { 1.0 } else { 0.0 };
            ConstGauge::new(value).encode(family.encode_family(&[("check", check.name.as_str())])?)?;
        }
        let mut family =
            encoder.encode_descriptor("state", "1 for the state that it is in", None, MetricType::Gauge)?;
        let label = [("state", health.state(now).as_str())];
        ConstGauge::new(1.0).encode(family.encode_family(&label)?)?;
        let mut family =
            encoder.encode_descriptor("build_info", "Always 1; see the labels", None, MetricType::Gauge)?;
        let simulator = if cfg!(feature = "simulator") { "yes" } else { "no" };
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("simulator", simulator)];
        ConstGauge::new(1.0).encode(family.encode_family(&labels)?)
    }
}

fn seconds(at: UnixMs) -> f64 {
    Duration::from_millis(at.as_millis()).as_secs_f64()
}

/// Workloads that are told by name: what a scrape may cost, whatever administrators make.
const MOST_WORKLOADS: usize = 100;
