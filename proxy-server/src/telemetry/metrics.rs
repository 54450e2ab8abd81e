use std::{collections::BTreeMap, sync::Arc, time::Duration};

use countersign_telemetry::Counts;
use prometheus_client::{
    encoding::text::encode_registry,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::{
    by_code::ByCode,
    collected::Collected,
    exposition::{self, classic},
    process,
    recent::{Recent, RecentRefusal},
    sharded::Sharded,
    standing::Standing,
};
use crate::session::{EndReason, SessionEnd};

/// Everything that is counted, and the text of it. Each part of the proxy holds
/// its own group; a group's figures are raised without a lock wherever bytes flow.
pub struct Metrics {
    registry: Registry,
    /// Of the attestation port.
    pub attestation: AttestationMetrics,
    /// Of the gateway port.
    pub gateway: Arc<GatewayMetrics>,
    /// Of sessions that are over.
    pub ends: EndMetrics,
    /// Of the audit's writer.
    pub journal: JournalMetrics,
    /// Of the admin port.
    pub admin: AdminMetrics,
}

impl Metrics {
    /// All groups at zero. `standing` is asked whenever somebody reads.
    pub fn new(standing: Standing, counts: Counts) -> Self {
        let mut registry = Registry::default();
        process::register(&mut registry);
        let own = registry.sub_registry_with_prefix("countersign");
        standing.register(own);
        own.register_collector(Box::new(Collected(counts)));
        let attestation = AttestationMetrics::register(own);
        let gateway = Arc::new(GatewayMetrics::register(own));
        let ends = EndMetrics::register(own);
        let journal = JournalMetrics::register(own);
        let admin = AdminMetrics::register(own);
        Self { registry, attestation, gateway, ends, journal, admin }
    }

    /// In Prometheus's text format, [`Self::TYPE`].
    pub fn text(&self) -> String {
        classic(&self.open_metrics())
    }

    /// As OpenMetrics 1.0, without the mark at its end.
    pub(super) fn open_metrics(&self) -> String {
        let mut text = String::with_capacity(32 * 1024);
        // Writing to a String fails only where a metric's own encoding does, and none here does.
        let _ = encode_registry(&mut text, &self.registry);
        text
    }

    /// `Content-Type` of [`Self::text`].
    pub const TYPE: &'static str = exposition::TYPE;
}

/// One label and its value, both of this program.
type Label = [(&'static str, &'static str); 1];

/// What was decided on the attestation port.
#[derive(Clone, Debug)]
pub struct AttestationMetrics {
    decided: Family<Label, Counter>,
    refused: ByCode,
    recent: Recent,
    duration: Family<Label, Histogram>,
}

/// What became of an attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A new session.
    Admitted,
    /// The session goes on.
    Renewed,
    /// For this code.
    Refused(&'static str),
}

impl Decision {
    fn word(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Renewed => "renewed",
            Self::Refused(_) => "refused",
        }
    }
}

impl AttestationMetrics {
    fn register(registry: &mut Registry) -> Self {
        let decided = Family::<Label, Counter>::default();
        let duration = Family::<Label, Histogram>::new_with_constructor(decisions);
        // A rate over a series that begins with its first event misses that event.
        for word in ["admitted", "renewed", "refused"] {
            drop(decided.get_or_create(&[("result", word)]));
            drop(duration.get_or_create(&[("result", word)]));
        }
        registry.register("attestations", "Attestations by what became of them", decided.clone());
        let refused = ByCode::default();
        registry.register_collector(refused.told(
            "attestation_refusals",
            "Requests refused on the attestation port, by code",
            "code",
        ));
        registry.register(
            "attestation_duration_seconds",
            "From a whole attest request to its decision, the audit row included",
            duration.clone(),
        );
        Self { decided, refused, recent: Recent::default(), duration }
    }

    /// One attestation, from its body to the decision.
    pub fn decided(&self, decision: Decision, took: Duration) {
        let label = [("result", decision.word())];
        self.decided.get_or_create(&label).inc();
        self.duration.get_or_create(&label).observe(took.as_secs_f64());
        if let Decision::Refused(code) = decision {
            self.refused.count(code, 1);
        }
    }

    /// A request that came to no decision: a challenge, a body that was not read.
    pub fn turned_away(&self, code: &'static str) {
        self.refused.count(code, 1);
    }

    /// A refusal of somebody who answered the challenge rightly: people look at these.
    pub fn note(&self, refusal: RecentRefusal) {
        self.recent.note(refusal);
    }

    /// The last of those, newest first.
    pub fn recent(&self) -> Vec<RecentRefusal> {
        self.recent.read()
    }

    /// How many were decided so.
    pub fn count(&self, decision: Decision) -> u64 {
        self.decided.get_or_create(&[("result", decision.word())]).get()
    }

    /// Refusals by code.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.refused.read()
    }
}

/// What passed the gateway port. Shared by all tunnels.
#[derive(Debug)]
pub struct GatewayMetrics {
    opened: Counter<u64, Sharded>,
    opening: Histogram,
    ended: Family<Label, Counter>,
    refused: ByCode,
    handshakes: ByCode,
    up: Counter<u64, Sharded>,
    down: Counter<u64, Sharded>,
}

impl GatewayMetrics {
    fn register(registry: &mut Registry) -> Self {
        let opened = Counter::default();
        registry.register("tunnels_opened", "Tunnels opened", opened.clone());
        let opening = Histogram::new(openings());
        registry.register(
            "tunnel_open_duration_seconds",
            "From a CONNECT request to the answer that the way is open, name and dial included",
            opening.clone(),
        );
        let ended = Family::<Label, Counter>::default();
        for word in TUNNEL_ENDS.into_iter().chain(EndReason::ALL.map(EndReason::as_str)) {
            drop(ended.get_or_create(&[("reason", word)]));
        }
        registry.register("tunnels_ended", "Tunnels that are over, by what ended them", ended.clone());
        let refused = ByCode::default();
        registry.register_collector(refused.told(
            "tunnel_refusals",
            "CONNECT requests refused, by code",
            "code",
        ));
        let handshakes = ByCode::default();
        registry.register_collector(handshakes.told(
            "gateway_handshake_failures",
            "TLS handshakes that failed on the gateway port, by code",
            "code",
        ));
        let bytes = Family::<Label, Counter<u64, Sharded>>::default();
        let up = bytes.get_or_create(&[("direction", "up")]).clone();
        let down = bytes.get_or_create(&[("direction", "down")]).clone();
        registry.register(
            "tunnel_bytes",
            "Bytes that went through tunnels: up to the destination, down to the enclave",
            bytes,
        );
        Self { opened, opening, ended, refused, handshakes, up, down }
    }

    /// A way is open, so long after it was asked for.
    pub fn opened(&self, took: Duration) {
        self.opened.inc();
        self.opening.observe(took.as_secs_f64());
    }

    /// A tunnel is over.
    pub fn ended(&self, how: &'static str) {
        self.ended.get_or_create(&[("reason", how)]).inc();
    }

    /// A CONNECT request was refused.
    pub fn refused(&self, code: &'static str) {
        self.refused.count(code, 1);
    }

    /// A handshake came to nothing.
    pub fn handshake_failed(&self, code: &'static str) {
        self.handshakes.count(code, 1);
    }

    /// Bytes went through.
    pub fn moved(&self, up: u64, down: u64) {
        if up > 0 {
            self.up.inc_by(up);
        }
        if down > 0 {
            self.down.inc_by(down);
        }
    }

    /// Bytes that went up and down so far.
    pub fn bytes(&self) -> (u64, u64) {
        (self.up.get(), self.down.get())
    }

    /// Tunnels opened so far.
    pub fn tunnels(&self) -> u64 {
        self.opened.get()
    }

    /// Refusals by code.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.refused.read()
    }
}

/// Why sessions ended here.
#[derive(Clone, Debug)]
pub struct EndMetrics(ByCode);

impl EndMetrics {
    fn register(registry: &mut Registry) -> Self {
        let ends = ByCode::default();
        for reason in EndReason::ALL {
            ends.count(reason.as_str(), 0);
        }
        registry.register_collector(ends.told(
            "session_ends",
            "Sessions that are over, by reason, told by the replica that admitted them last",
            "reason",
        ));
        Self(ends)
    }

    /// These are over.
    pub fn told(&self, ends: &[SessionEnd]) {
        for end in ends {
            self.0.count(end.reason.as_str(), 1);
        }
    }
}

/// How the audit's writer does.
#[derive(Clone, Debug)]
pub struct JournalMetrics {
    commits: Histogram,
    failed: Counter,
    lost: Counter,
}

impl JournalMetrics {
    fn register(registry: &mut Registry) -> Self {
        let commits = Histogram::new(latencies());
        registry.register(
            "audit_commit_duration_seconds",
            "One transaction of audit rows and the sessions with them",
            commits.clone(),
        );
        let failed = Counter::default();
        registry.register(
            "audit_commit_failures",
            "Transactions of audit rows that the store did not take",
            failed.clone(),
        );
        let lost = Counter::default();
        registry.register(
            "audit_rows_lost",
            "Audit rows of refusals dropped because the queue was full",
            lost.clone(),
        );
        Self { commits, failed, lost }
    }

    pub(crate) fn committed(&self, took: Duration) {
        self.commits.observe(took.as_secs_f64());
    }

    pub(crate) fn failed(&self) {
        self.failed.inc();
    }

    /// Rows that nobody waited for and that are not written.
    pub(crate) fn lost(&self, rows: u64) {
        self.lost.inc_by(rows);
    }
}

/// What was asked of the admin port.
#[derive(Clone, Debug)]
pub struct AdminMetrics {
    answered: ByCode,
    duration: Histogram,
}

impl AdminMetrics {
    fn register(registry: &mut Registry) -> Self {
        let answered = ByCode::default();
        registry.register_collector(answered.told(
            "admin_requests",
            "Requests answered on the admin port, by class of status",
            "status",
        ));
        let duration = Histogram::new(latencies());
        registry.register(
            "admin_request_duration_seconds",
            "From a request's head to its answer's on the admin port",
            duration.clone(),
        );
        Self { answered, duration }
    }

    pub(crate) fn answered(&self, status: http::StatusCode, took: Duration) {
        let class = match status.as_u16() / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        };
        self.answered.count(class, 1);
        self.duration.observe(took.as_secs_f64());
    }
}

/// How tunnels end beside the end of their session.
const TUNNEL_ENDS: [&str; 3] = ["closed", "client-failed", "destination-failed"];

/// 0.5 ms to 16 s, doubling: a decision takes a few milliseconds, and what waits for the
/// store up to five seconds.
fn latencies() -> impl Iterator<Item = f64> {
    exponential_buckets(0.0005, 2.0, 16)
}

/// The same.
fn decisions() -> Histogram {
    Histogram::new(latencies())
}

/// 0.1 ms to 13 s: on loopback a dial takes a fraction of a millisecond.
fn openings() -> impl Iterator<Item = f64> {
    exponential_buckets(0.0001, 2.0, 18)
}
