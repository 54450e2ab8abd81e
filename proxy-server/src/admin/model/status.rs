use std::collections::BTreeMap;

use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Moment;
use crate::{
    session,
    store::UnixMs,
    telemetry::{Check, Decision, Lapsing, Point, RecentRefusal, Spread, State, Telemetry},
};

/// How the process that answers does.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct StatusView {
    deployment: String,
    /// Of the program.
    version: &'static str,
    /// Whether documents of simulated enclaves may be trusted: never in a release.
    simulator: bool,
    state: ConditionWord,
    checks: Vec<CheckView>,
    at: Moment,
    /// Live sessions it knows.
    #[schema(minimum = 0)]
    sessions: u64,
    /// Tunnels it holds.
    #[schema(minimum = 0)]
    tunnels: u64,
    /// Since it started.
    totals: Totals,
    /// The last refusals of enclaves that answered their challenge, newest first.
    refusals: Vec<RefusalView>,
    /// Sessions with less than 10 s of lease left: they have missed a renewal.
    lapsing: LapsingView,
    /// A look every five seconds, for half an hour; oldest first.
    history: Vec<PointView>,
}

/// In one word.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum ConditionWord {
    /// It admits.
    Ready,
    /// It runs; a check says why nothing new should be sent to it.
    NotReady,
    /// It was told to stop.
    Draining,
}

/// One thing that must hold.
#[derive(Debug, Serialize, ToSchema)]
struct CheckView {
    /// `store`, `session-ca`, `clock`.
    name: &'static str,
    passed: bool,
    /// How it is, or what is wrong.
    detail: String,
}

/// Counts since the process started.
#[derive(Debug, Serialize, ToSchema)]
struct Totals {
    #[schema(minimum = 0)]
    admitted: u64,
    #[schema(minimum = 0)]
    renewed: u64,
    /// Refused attestations and other requests of that port, by code.
    refused: BTreeMap<&'static str, u64>,
    #[schema(minimum = 0)]
    tunnels_opened: u64,
    /// Refused CONNECT requests, by code.
    tunnels_refused: BTreeMap<&'static str, u64>,
    #[schema(minimum = 0)]
    bytes_up: u64,
    #[schema(minimum = 0)]
    bytes_down: u64,
}

/// One refused attestation.
#[derive(Debug, Serialize, ToSchema)]
struct RefusalView {
    at: Moment,
    code: &'static str,
    /// Expected and actual, in words.
    detail: String,
    request_id: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct LapsingView {
    #[schema(minimum = 0)]
    count: u64,
    /// The first of them.
    first: Vec<LapsingSession>,
}

#[derive(Debug, Serialize, ToSchema)]
struct LapsingSession {
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    workload: String,
    measurement: String,
    lease_ends: Moment,
    #[schema(minimum = 0)]
    tunnels: u32,
}

/// Counts go on from the start of the process.
#[derive(Debug, Serialize, ToSchema)]
struct PointView {
    at: Moment,
    #[schema(minimum = 0)]
    admitted: u64,
    #[schema(minimum = 0)]
    renewed: u64,
    #[schema(minimum = 0)]
    refused: u64,
    #[schema(minimum = 0)]
    bytes: u64,
    #[schema(minimum = 0)]
    sessions: u64,
    #[schema(minimum = 0)]
    tunnels: u64,
    /// How long renewals since the point before took; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    renewals: Option<SpreadView>,
}

/// From a whole attest request to its decision.
#[derive(Debug, Serialize, ToSchema)]
struct SpreadView {
    /// Half of them took no longer.
    #[schema(minimum = 0)]
    p50_seconds: f64,
    /// All but one in a hundred took no longer.
    #[schema(minimum = 0)]
    p99_seconds: f64,
}

impl StatusView {
    pub(in crate::admin) fn of(deployment: String, telemetry: &Telemetry, now: UnixMs) -> Self {
        let Telemetry { metrics, health, history, sessions } = telemetry;
        let census = sessions.census();
        let (bytes_up, bytes_down) = metrics.gateway.bytes();
        let session::Lapsing { count, first } = sessions.lapsing(Lapsing::SOON, NAMED);
        Self {
            deployment,
            version: env!("CARGO_PKG_VERSION"),
            simulator: cfg!(feature = "simulator"),
            state: health.state(now).into(),
            checks: health.checks(now).into_iter().map(CheckView::from).collect(),
            at: Moment(now),
            sessions: census.sessions,
            tunnels: census.tunnels,
            totals: Totals {
                admitted: metrics.attestation.count(Decision::Admitted),
                renewed: metrics.attestation.count(Decision::Renewed),
                refused: metrics.attestation.refusals(),
                tunnels_opened: metrics.gateway.tunnels(),
                tunnels_refused: metrics.gateway.refusals(),
                bytes_up,
                bytes_down,
            },
            refusals: metrics.attestation.recent().into_iter().map(RefusalView::from).collect(),
            lapsing: LapsingView {
                count,
                first: first.into_iter().map(|view| LapsingSession::new(view, now)).collect(),
            },
            history: history.points().into_iter().map(PointView::from).collect(),
        }
    }
}

impl From<RecentRefusal> for RefusalView {
    fn from(refusal: RecentRefusal) -> Self {
        let RecentRefusal { at, code, detail, request_id } = refusal;
        Self { at: Moment(at), code, detail, request_id }
    }
}

impl LapsingSession {
    fn new(view: session::SessionView, now: UnixMs) -> Self {
        let session::SessionView {
            id,
            workload,
            measurement,
            key: _,
            boot_id: _,
            sequence: _,
            epoch: _,
            lease_ends,
            instance: _,
            tunnels,
        } = view;
        let left = lease_ends.saturating_duration_since(Instant::now()).as_millis();
        let ends = now.0.saturating_add(i64::try_from(left).unwrap_or(i64::MAX));
        Self {
            id: id.to_string(),
            workload,
            measurement: measurement.to_string(),
            lease_ends: Moment(UnixMs(ends)),
            tunnels,
        }
    }
}

impl From<State> for ConditionWord {
    fn from(state: State) -> Self {
        match state {
            State::Ready => Self::Ready,
            State::NotReady => Self::NotReady,
            State::Draining => Self::Draining,
        }
    }
}

impl From<Check> for CheckView {
    fn from(check: Check) -> Self {
        let Check { name, found } = check;
        let passed = found.is_ok();
        let detail = match found {
            Ok(detail) | Err(detail) => detail,
        };
        Self { name: name.as_str(), passed, detail }
    }
}

impl From<Point> for PointView {
    fn from(point: Point) -> Self {
        let Point { at, admitted, renewed, refused, bytes, sessions, tunnels, renewals } = point;
        let renewals = renewals.map(|Spread { p50, p99 }| SpreadView {
            p50_seconds: p50.as_secs_f64(),
            p99_seconds: p99.as_secs_f64(),
        });
        Self { at: Moment(at), admitted, renewed, refused, bytes, sessions, tunnels, renewals }
    }
}

/// Of the sessions about to lapse.
const NAMED: usize = 10;
