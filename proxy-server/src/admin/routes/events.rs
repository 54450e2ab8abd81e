use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use utoipa::ToSchema;

use crate::{
    admin::{
        access::Login,
        answers::{Answer, Listening},
        code::Code,
        events::{Listener, Next, Place, Resumed, Tick},
        extract::{Caller, LastEventId, NoParams, Params},
        identity::Permission,
        model::{AuditEntry, ReplicaState},
        problem::ApiError,
        produced::{Pieces, produced},
        state::{Api, Shared},
    },
    store::Visible,
};

/// Tells what happens, as server-sent events.
///
/// `hello` comes first, with the id of this moment. Then `policy` for each
/// change of the policy, `sessions` with counts of admissions, refusals and
/// ends, `access` for failed logins, `replica` for a replica that came, went or
/// enforces another epoch. With Last-Event-ID what was missed is told first, or
/// `resync` where that cannot be: read everything again. `bye` is the last, with
/// the reason. A comment comes every 15 s.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event heard", pattern = "^[A-Za-z0-9_-]{0,16384}$")),
    responses((status = 200, description = "The stream", body = String, content_type = "text/event-stream"), Listening)
)]
pub(in crate::admin) async fn listen(
    caller: Caller,
    login: Login,
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
    LastEventId(last): LastEventId,
) -> Answer {
    let visible = caller.visible(Permission::Read)?;
    let place: Option<Place> = last
        .filter(|text| !text.is_empty())
        .map(|text| text.parse())
        .transpose()
        .map_err(|reason| ApiError::new(Code::BadHeader, format!("Last-Event-ID: {reason}")))?;
    let (listener, resumed, now) = api.events.listen(place).await?;
    let mut first = vec![event("hello", Some(&now), &Hello { heartbeat_seconds: HEARTBEAT.as_secs() })];
    if matches!(resumed, Resumed::Resync) {
        first.push(event("resync", Some(&now), &Resync { reason: "what you missed is not kept" }));
    }
    let patience = api.config.stalled;
    let stream = Stream {
        listener,
        visible,
        login,
        api,
        first,
        heartbeat: interval_at(Instant::now() + HEARTBEAT, HEARTBEAT),
        checks: interval_at(Instant::now() + CHECKED_EVERY, CHECKED_EVERY),
        over: false,
    };
    let mut response = Response::new(produced(patience, |pieces| stream.run(pieces)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response.into_response())
}

/// One listener's stream.
struct Stream {
    listener: Listener,
    visible: Visible,
    login: Login,
    api: Arc<Shared>,
    first: Vec<Bytes>,
    heartbeat: tokio::time::Interval,
    checks: tokio::time::Interval,
    over: bool,
}

impl Stream {
    async fn run(mut self, pieces: Pieces) {
        self.heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = tokio::select! {
                next = self.next() => next,
                () = pieces.abandoned() => return,
            };
            let Some(bytes) = next else { break };
            if pieces.give(bytes).await.is_err() {
                return;
            }
        }
        drop(self);
        pieces.end().await;
    }

    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        if !self.first.is_empty() {
            return Some(std::mem::take(&mut self.first).concat().into());
        }
        loop {
            tokio::select! {
                next = self.listener.next() => match next {
                    Next::Tick(tick) => {
                        let told = tell(&tick, &self.visible);
                        if !told.is_empty() {
                            return Some(told);
                        }
                    }
                    Next::TooSlow => return Some(self.bye("you were too slow: come back with Last-Event-ID")),
                },
                _ = self.checks.tick() => {
                    // Whoever's token was revoked hears no more.
                    if self.login.again(&self.api).await.is_err() {
                        return Some(self.bye("your credentials are worth nothing any more"));
                    }
                }
                () = self.login.closing() => return Some(self.bye("the proxy stops")),
                _ = self.heartbeat.tick() => return Some(Bytes::from_static(b": still here\n\n")),
            }
        }
    }

    fn bye(&mut self, reason: &'static str) -> Bytes {
        self.over = true;
        event("bye", None, &Resync { reason })
    }
}

/// The events of a tick, as far as this listener may hear them.
fn tell(tick: &Tick, visible: &Visible) -> Bytes {
    let everything = *visible == Visible::Everything;
    let sees = |workload: Option<&str>| match (visible, workload) {
        (Visible::Everything, _) => true,
        (Visible::Workloads(names), Some(workload)) => names.contains(workload),
        (Visible::Workloads(_), None) => false,
    };
    let mut events = Vec::new();
    for row in tick.policy.iter().filter(|row| sees(row.event.workload.as_deref())) {
        events.push(("policy", value(&AuditEntry::from(row.clone()))));
    }
    let counts: Vec<_> = tick
        .sessions
        .iter()
        .filter(|(count, _)| sees(count.workload.as_deref()))
        .map(|(count, number)| Count {
            workload: count.workload.as_deref(),
            kind: &count.kind,
            code: &count.code,
            count: *number,
        })
        .collect();
    if !counts.is_empty() {
        events.push(("sessions", value(&Sessions { counts })));
    }
    if everything {
        events.extend(tick.access.iter().map(|row| ("access", value(&AuditEntry::from(row.clone())))));
        events.extend(tick.replicas.iter().map(|(row, state)| {
            let (id, name) = (hex::encode(row.id), &row.name);
            (
                "replica",
                value(&Replica {
                    id,
                    name,
                    state: *state,
                    epoch: row.epoch.0,
                    sessions: row.sessions,
                    tunnels: row.tunnels,
                }),
            )
        }));
    }
    // The id is the whole tick's: it stands on the last event, so that half a tick is told again.
    let last = events.len().saturating_sub(1);
    let texts = events
        .into_iter()
        .enumerate()
        .map(|(number, (name, data))| text(name, (number == last).then_some(&tick.place), &data));
    texts.collect::<Vec<_>>().concat().into()
}

fn event(name: &str, id: Option<&Place>, data: &impl Serialize) -> Bytes {
    text(name, id, &value(data)).into()
}

fn value(data: &impl Serialize) -> String {
    serde_json::to_string(data).unwrap_or_default()
}

/// JSON has no line break, so one `data` line holds it.
fn text(name: &str, id: Option<&Place>, data: &str) -> String {
    let id = id.map(|place| format!("id: {place}\n")).unwrap_or_default();
    format!("event: {name}\n{id}data: {data}\n\n")
}

#[derive(Serialize, ToSchema)]
struct Hello {
    heartbeat_seconds: u64,
}

#[derive(Serialize, ToSchema)]
struct Resync {
    reason: &'static str,
}

#[derive(Serialize)]
struct Sessions<'a> {
    counts: Vec<Count<'a>>,
}

#[derive(Serialize)]
struct Count<'a> {
    workload: Option<&'a str>,
    kind: &'a str,
    code: &'a str,
    count: u64,
}

#[derive(Serialize)]
struct Replica<'a> {
    id: String,
    name: &'a str,
    state: ReplicaState,
    epoch: u64,
    sessions: u64,
    tunnels: u64,
}

/// Keeps the way open through whatever closes silent connections.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a listener hears on after his token was revoked.
const CHECKED_EVERY: Duration = Duration::from_secs(5);
