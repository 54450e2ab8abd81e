use std::collections::BTreeMap;

use axum::{
    extract::{Query, State},
    response::Response,
};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::{
    guard::{Page, Visitor},
    html,
    layout::{self, Place, Renewal, empty, short, state, time, wide},
    listing::{Listing, Part, status},
};

/// What was decided, newest first.
pub(super) async fn list(
    State(page): State<Page>,
    who: Visitor,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let names = FILTERS.iter().map(|(name, ..)| *name).chain(["kind"]);
    let listing = Listing::of("/ui/audit", &asked, names);
    let answer = listing.ask::<Entry>(&page, &who, "/v1/audit").await;
    let none = |entries: &Entries| {
        empty(
            "No row passes these filters",
            html! {
                @if entries.next.is_some() { "A page looks at so many rows and no more: go on to the next." }
                @else { a href="/ui/audit" { "Show everything" } ", or wait: decisions appear as they are made." }
            },
        )
    };
    let body = html! {
        (listing.form("Filter the audit log", html! {
            (listing.choice("kind", "Kind", "every kind", &KINDS))
            @for (name, label, placeholder) in FILTERS { (listing.field(name, label, Some(placeholder))) }
        }))
        (listing.show(&answer, rows, none))
    };
    html::page(status(&answer), layout::page(&who, Place::Audit, "Audit log", Renewal::Still, body))
}

/// Rows as a table; what changed unfolds.
pub(super) fn rows(entries: &[Entry]) -> Markup {
    wide(
        "Decisions",
        html! { table {
            thead { tr {
                th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Concerns" }
                th scope="col" { "Who" } th scope="col" { "More" }
            } }
            tbody { @for one in entries { tr {
                td { (time(&one.at)) }
                td { (state(&one.kind)) " " (one.code) }
                td {
                    @if let Some(workload) = &one.workload { (workload) @if let Some(measurement) = &one.measurement { "/" (measurement) } " " }
                    @if let Some(session) = &one.session { a href={ "/ui/sessions/" (session) } { (short(session)) } }
                }
                td { (one.actor.as_deref().unwrap_or_default()) }
                td { (more(one)) }
            } } }
        } },
    )
}

fn more(one: &Entry) -> Markup {
    let json = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    html! {
        @if let Some(detail) = &one.detail { (beginning(detail)) " " }
        details {
            summary { "Row " (one.seq) }
            dl {
                @if let Some(detail) = one.detail.as_ref().filter(|detail| beginning(detail) != **detail) { dt { "Whole" } dd { (detail) } }
                dt { "Chain" } dd { (one.chain) }
                dt { "Epoch" } dd { (one.epoch) }
                @if let Some(id) = &one.request_id { dt { "Request" } dd { code { (id) } } }
                @if let Some(evidence) = &one.evidence { dt { "Document, SHA-256" } dd { code { (evidence) } } }
                @if let Some(before) = &one.before { dt { "Before" } dd { code { (json(before)) } } }
                @if let Some(after) = &one.after { dt { "After" } dd { code { (json(after)) } } }
                dt { "Hash" } dd { code { (one.hash) } }
            }
        }
    }
}

/// As much of a sentence as a row takes; the rest unfolds.
pub(super) fn beginning(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

/// Some rows.
pub(super) type Entries = Part<Entry>;

/// One row of the audit.
#[derive(Deserialize)]
pub(super) struct Entry {
    chain: String,
    seq: u64,
    hash: String,
    pub(super) at: String,
    kind: String,
    pub(super) code: String,
    epoch: u64,
    workload: Option<String>,
    measurement: Option<String>,
    session: Option<String>,
    request_id: Option<String>,
    actor: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
    pub(super) evidence: Option<String>,
    detail: Option<String>,
}

/// Characters of a detail in a row.
const LONGEST: usize = 100;

const KINDS: [&str; 6] = ["admission", "refusal", "end", "policy", "access", "credentials"];

/// Name in the query, label, and how it looks.
const FILTERS: [(&str, &str, &str); 6] = [
    ("workload", "Workload", "payments"),
    ("session", "Session", "32 hexadecimal digits"),
    ("code", "Code", "pcr-mismatch"),
    ("actor", "Who", "token:…"),
    ("from", "From (UTC)", "2026-11-22T00:00:00Z"),
    ("until", "Until (UTC)", "2026-11-23T00:00:00Z"),
];
