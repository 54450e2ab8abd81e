use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use futures_util::join;
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    ask::Trouble,
    audit::{Entries, beginning, rows},
    guard::{Page, Visitor},
    html,
    layout::{self, Place, Renewal, empty, short, state, time, wide},
    measurements::Measurements,
    plot::{Series, number, plot},
};

/// How it goes, at a glance.
pub(super) async fn show(State(page): State<Page>, who: Visitor) -> Response {
    let ask = &page.asker;
    let (status, replicas, changes, pending) = join!(
        ask.get::<Status>(&who, "/v1/status"),
        ask.get::<Replicas>(&who, "/v1/replicas"),
        ask.get::<Entries>(&who, "/v1/audit?kind=policy&limit=6"),
        ask.get::<Measurements>(&who, "/v1/measurements?waiting=true&limit=5"),
    );
    let body = html! {
        (waiting(&pending))
        (whole(&status, &replicas))
        div.pair {
            @if let Ok(status) = &status { (refusals(&status.refusals)) }
            section id="changes" data-part aria-labelledby="changes-title" {
                h2 id="changes-title" { "Last changes" }
                (listed(&changes, "Nothing was changed yet", html! {
                    "Allow an enclave: " a href="/ui/measurements/add" { "add a measurement" } "."
                }))
            }
        }
    };
    html::page(StatusCode::OK, layout::page(&who, Place::Overview, "Overview", Renewal::Live, body))
}

/// What concerns the installation; some may not see it.
fn whole(status: &Result<Status, Trouble>, replicas: &Result<Replicas, Trouble>) -> Markup {
    let (status, replicas) = match (status, replicas) {
        (Ok(status), Ok(replicas)) => (status, replicas),
        (Err(trouble), _) | (_, Err(trouble)) if trouble.code == "installation-wide" => {
            return html! {
                p.fine { "Figures of the whole installation are for those who may see all workloads. Your "
                    a href="/ui/sessions" { "sessions" } " and " a href="/ui/measurements" { "measurements" } " are." }
            };
        }
        (Err(trouble), _) | (_, Err(trouble)) => return layout::trouble(trouble),
    };
    html! {
        (failing(status))
        (cards(status, replicas))
        (plots(&status.history))
        div.pair {
            (lapsing(&status.lapsing))
            (why(&status.totals))
        }
        (table(replicas))
    }
}

fn refusals(refusals: &[Refusal]) -> Markup {
    html! {
        section id="refusals" data-part aria-labelledby="refusals-title" {
            h2 id="refusals-title" { "Refused lately by this proxy, and why" }
            @if refusals.is_empty() {
                (empty("Nobody was refused", html! {
                    "A refused enclave shows up here with its reason. " a href="/ui/explain" { "Explain a document" } " tells what differs."
                }))
            } @else {
                (wide("Refused lately", html! { table {
                    thead { tr { th scope="col" { "When" } th scope="col" { "Code" } th scope="col" { "Why" } } }
                    tbody { @for one in refusals { tr {
                        td { (time(&one.at)) }
                        td { (one.code) }
                        td { (beginning(&one.detail)) details { summary { "More" } p { (one.detail) } p.fine { "Request " code { (one.request_id) } } } }
                    } } }
                } }))
                p { a href="/ui/audit?kind=refusal" { "All refusals, of all replicas" } }
            }
        }
    }
}

fn failing(status: &Status) -> Markup {
    html! {
        div id="checks" data-part {
            @if status.state == "draining" {
                p.warn { "This proxy was told to stop: open tunnels may finish, nothing new is opened." }
            }
            @for check in status.checks.iter().filter(|check| !check.passed) {
                div.trouble role="alert" { p { strong { (check.name) } ": " (check.detail) } }
            }
        }
    }
}

fn cards(status: &Status, replicas: &Replicas) -> Markup {
    let live = || replicas.items.iter().filter(|one| one.state == "live");
    let (sessions, tunnels) =
        (live().map(|one| one.sessions).max().unwrap_or(0), live().map(|one| one.tunnels).sum::<u64>());
    let (lowest, highest) =
        (live().map(|one| one.epoch).min().unwrap_or(0), live().map(|one| one.epoch).max().unwrap_or(0));
    let refused: u64 = status.totals.refused.values().sum();
    let card = |id: &str, name: &str, figure: String, more: Markup| {
        html! { li { (name) span.figure id=(id) { (figure) } span.fine { (more) } } }
    };
    html! {
        ul.cards id="cards" data-part {
            (card("state", "This proxy", status.state.clone(), html! { (status.deployment) }))
            (card("sessions", "Sessions", sessions.to_string(), html! { (status.lapsing.count) " about to lapse here" }))
            (card("tunnels", "Tunnels", tunnels.to_string(), html! { "on all replicas" }))
            (card("bytes", "Bytes per second", number(bytes_per_second(&status.history)), html! { "through this proxy" }))
            (card("admitted", "Admitted", status.totals.admitted.to_string(), html! { "since its start; renewals: " (status.totals.renewed) }))
            (card("refused", "Refused", refused.to_string(), html! { "since its start" }))
            (card("epoch", "Policy epoch", highest.to_string(), html! {
                @if lowest == highest { "enforced on every live replica" } @else { "one replica still enforces " (lowest) }
            }))
        }
    }
}

/// Of the last two looks.
fn bytes_per_second(history: &[Point]) -> f64 {
    match history {
        [.., before, last] => last.bytes.saturating_sub(before.bytes) as f64 / SECONDS,
        _ => 0.0,
    }
}

fn plots(history: &[Point]) -> Markup {
    let grown = |of: fn(&Point) -> u64| {
        history.windows(2).map(move |pair| match pair {
            [before, after] => of(after).saturating_sub(of(before)) as f64,
            _ => 0.0,
        })
    };
    let renewals = |of: fn(&Spread) -> f64| -> Vec<_> {
        history.iter().map(|point| point.renewals.as_ref().map(|spread| of(spread) * 1e3)).collect()
    };
    let admitted = grown(|point| point.admitted + point.renewed).map(Some).collect();
    let refused = grown(|point| point.refused).map(Some).collect();
    let tunnels = history.iter().map(|point| Some(point.tunnels as f64)).collect();
    let bytes = grown(|point| point.bytes).map(|bytes| Some(bytes / SECONDS)).collect();
    html! {
        div.pair id="plots" data-part {
            (plot("attestations", "Attestations", "in five seconds", STARTED, &[
                Series { name: "admitted and renewed", class: "one", values: admitted },
                Series { name: "refused", class: "two", values: refused },
            ]))
            (plot("open", "Tunnels", "on this proxy", STARTED, &[Series { name: "open", class: "one", values: tunnels }]))
            (plot("both-ways", "Bytes", "a second", STARTED, &[Series { name: "both ways", class: "one", values: bytes }]))
            (plot("renewals", "Lease renewals", "milliseconds", RENEWED, &[
                Series { name: "half took at most (p50)", class: "one", values: renewals(|spread| spread.p50_seconds) },
                Series { name: "99 in 100 took at most (p99)", class: "two", values: renewals(|spread| spread.p99_seconds) },
            ]))
        }
    }
}

fn lapsing(lapsing: &Lapsing) -> Markup {
    html! {
        section id="lapsing" data-part aria-labelledby="lapsing-title" {
            h2 id="lapsing-title" { "Leases about to lapse" }
            @if lapsing.first.is_empty() {
                (empty("None", html! { "An enclave whose lease has less than 10 s left has missed a renewal. It would stand here." }))
            } @else {
                (wide("Leases about to lapse", html! { table {
                    thead { tr { th scope="col" { "Session" } th scope="col" { "Measurement" } th scope="col" { "Lapses" } th.number scope="col" { "Tunnels" } } }
                    tbody { @for one in &lapsing.first { tr {
                        td { a href={ "/ui/sessions/" (one.id) } { (short(&one.id)) } }
                        td { (one.workload) "/" (one.measurement) }
                        td { (time(&one.lease_ends)) }
                        td.number { (one.tunnels) }
                    } } }
                } }))
            }
        }
    }
}

fn why(totals: &Totals) -> Markup {
    let codes = |codes: &BTreeMap<String, u64>| {
        let mut codes: Vec<_> = codes.iter().map(|(code, count)| (code.clone(), *count)).collect();
        codes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        codes
    };
    html! {
        section id="why" data-part aria-labelledby="why-title" {
            h2 id="why-title" { "Refusals by code" }
            @if totals.refused.is_empty() && totals.tunnels_refused.is_empty() {
                (empty("None since this proxy started", html! { "Attestations and tunnels that are refused are counted here." }))
            } @else {
                dl {
                    @for (code, count) in codes(&totals.refused) { dt { "Attestation, " code { (code) } } dd { (count) } }
                    @for (code, count) in codes(&totals.tunnels_refused) { dt { "Tunnel, " code { (code) } } dd { (count) } }
                }
            }
        }
    }
}

fn table(replicas: &Replicas) -> Markup {
    html! {
        section id="replicas" data-part aria-labelledby="replicas-title" {
            h2 id="replicas-title" { "Replicas" }
            (wide("Replicas", html! { table {
                thead { tr {
                    th scope="col" { "Name" } th scope="col" { "State" } th.number scope="col" { "Epoch enforced" }
                    th.number scope="col" { "Sessions" } th.number scope="col" { "Tunnels" } th scope="col" { "Started" }
                } }
                tbody { @for one in &replicas.items { tr {
                    td { (one.name) " " (short(&one.id)) }
                    td { (state(&one.state)) }
                    td.number { (one.epoch) }
                    td.number { (one.sessions) }
                    td.number { (one.tunnels) }
                    td { (time(&one.started)) }
                } } }
            } }))
        }
    }
}

fn waiting(pending: &Result<Measurements, Trouble>) -> Markup {
    let Ok(pending) = pending else { return html! {} };
    html! {
        div id="waiting" data-part {
            @if !pending.items.is_empty() {
                div.warn {
                    p { strong { "Waiting for approval" } }
                    ul { @for one in &pending.items { li { a href=(one.path()) { (one.workload) "/" (one.name) }
                        (one.asked()) } } }
                }
            }
        }
    }
}

fn listed(entries: &Result<Entries, Trouble>, none: &str, next: Markup) -> Markup {
    match entries {
        Ok(entries) if entries.items.is_empty() && entries.next.is_some() => empty(
            "None among the newest decisions",
            html! { a href="/ui/audit" { "The audit log" } " goes further back." },
        ),
        Ok(entries) if entries.items.is_empty() => empty(none, next),
        Ok(entries) => rows(&entries.items),
        Err(trouble) => layout::trouble(trouble),
    }
}

#[derive(Deserialize)]
struct Status {
    deployment: String,
    state: String,
    checks: Vec<Check>,
    totals: Totals,
    refusals: Vec<Refusal>,
    lapsing: Lapsing,
    history: Vec<Point>,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    passed: bool,
    detail: String,
}

#[derive(Deserialize)]
struct Totals {
    admitted: u64,
    renewed: u64,
    refused: BTreeMap<String, u64>,
    tunnels_refused: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Refusal {
    at: String,
    code: String,
    detail: String,
    request_id: String,
}

#[derive(Deserialize)]
struct Lapsing {
    count: u64,
    first: Vec<LapsingSession>,
}

#[derive(Deserialize)]
struct LapsingSession {
    id: String,
    workload: String,
    measurement: String,
    lease_ends: String,
    tunnels: u64,
}

#[derive(Deserialize)]
struct Point {
    admitted: u64,
    renewed: u64,
    refused: u64,
    bytes: u64,
    tunnels: u64,
    renewals: Option<Spread>,
}

#[derive(Deserialize)]
struct Spread {
    p50_seconds: f64,
    p99_seconds: f64,
}

#[derive(Deserialize)]
pub(super) struct Replicas {
    pub(super) items: Vec<Replica>,
}

#[derive(Deserialize)]
pub(super) struct Replica {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) state: String,
    started: String,
    epoch: u64,
    sessions: u64,
    tunnels: u64,
}

/// Between two looks.
const SECONDS: f64 = crate::telemetry::History::EVERY.as_secs() as f64;

/// Where a line will be.
const STARTED: &str = "A line appears after two looks, ten seconds after the start.";
const RENEWED: &str = "A line appears when enclaves have renewed their leases twice: from the document's arrival to the decision.";
