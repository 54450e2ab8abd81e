use std::collections::BTreeMap;

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::{
    ask::{Question, Trouble, query},
    audit::{Entries, rows},
    form::Form,
    guard::{Page, Visitor},
    html,
    layout::{self, Place, Renewal, csrf, empty, may, short, time, wide},
    listing::{Listing, status},
    measurement::pcr_table,
    measurements::Measurement,
};
use crate::{admin::identity::Permission, percent::encoded};

/// Enclaves that are admitted now.
pub(super) async fn list(
    State(page): State<Page>,
    who: Visitor,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let listing = Listing::of("/ui/sessions", &asked, ["workload", "measurement"]);
    let answer = listing.ask::<Session>(&page, &who, "/v1/sessions").await;
    let none = |_: &_| {
        empty(
            "No enclave is admitted",
            html! {
                "Start one whose measurement is " a href="/ui/measurements" { "allowed" }
                "; if it is refused, " a href="/ui/audit?kind=refusal" { "the audit" } " says why."
            },
        )
    };
    let body = html! {
        (listing.form("Filter sessions", html! {
            (listing.field("workload", "Workload", None))
            (listing.field("measurement", "Measurement", None))
        }))
        div id="list" data-part { (listing.show(&answer, table, none)) }
    };
    html::page(status(&answer), layout::page(&who, Place::Sessions, "Sessions", Renewal::Live, body))
}

fn table(sessions: &[Session]) -> Markup {
    wide(
        "Sessions",
        html! { table {
            thead { tr {
                th scope="col" { "Session" } th scope="col" { "Workload and measurement" } th scope="col" { "Instance and enclave" }
                th scope="col" { "Admitted" } th scope="col" { "Lease ends" }
            } }
            tbody { @for one in sessions { tr {
                td { a href={ "/ui/sessions/" (one.id) } { (short(&one.id)) } }
                td { (one.workload) "/" (one.measurement) }
                td { (one.module_id.as_deref().unwrap_or_default()) }
                td { (time(&one.admitted)) }
                td { (time(&one.lease_ends)) }
            } } }
        } },
    )
}

/// One of them.
pub(super) async fn show(State(page): State<Page>, who: Visitor, Path(id): Path<String>) -> Response {
    one(&page, &who, &id, None).await
}

/// Ends it on every replica.
pub(super) async fn end(
    State(page): State<Page>,
    Path(id): Path<String>,
    Form { who, fields }: Form,
) -> Response {
    let reason = BTreeMap::from([("reason", fields.text("reason").to_owned())]);
    let path = query(&format!("/v1/sessions/{}", encoded(&id)), &reason);
    let ended: Result<Value, Trouble> = page.asker.ask(&who, Question::delete(&path)).await;
    one(&page, &who, &id, Some(ended)).await
}

async fn one(page: &Page, who: &Visitor, id: &str, ended: Option<Result<Value, Trouble>>) -> Response {
    let found: Result<Session, Trouble> = page.asker.get(who, &format!("/v1/sessions/{}", encoded(id))).await;
    let history: Result<Entries, Trouble> =
        page.asker.get(who, &format!("/v1/audit?session={}&limit=20", encoded(id))).await;
    let measurement: Option<Measurement> = match &found {
        Ok(session) => {
            let place = (encoded(&session.workload), encoded(&session.measurement));
            page.asker.get(who, &format!("/v1/workloads/{}/measurements/{}", place.0, place.1)).await.ok()
        }
        Err(_) => None,
    };
    let is_over = ended.as_ref().is_some_and(Result::is_ok);
    let status = match (&ended, &found) {
        (Some(Err(trouble)), _) | (None, Err(trouble)) => trouble.status(),
        (Some(Ok(_)), _) | (None, Ok(_)) => StatusCode::OK,
    };
    let body = html! {
        @match &ended {
            Some(Ok(outcome)) => div.done role="status" { p { "Ended. " (outcome["impact"]["words"].as_str().unwrap_or_default()) "." } },
            Some(Err(trouble)) => (layout::trouble(trouble)),
            None => {},
        }
        @match &found {
            Ok(session) => {
                (facts(session))
                (document(session, measurement.as_ref(), &history))
                @if may(who, Permission::EndSession) && !is_over { (end_form(who, session)) }
            }
            Err(trouble) if !is_over => {
                (layout::trouble(trouble))
                p { "It may be over: its rows below say why. " a href="/ui/sessions" { "All sessions" } }
            }
            Err(_) => {}
        }
        section aria-labelledby="history-title" {
            h2 id="history-title" { "In the audit" }
            @match &history {
                Ok(history) if history.items.is_empty() => (empty("No row names it", html! { a href="/ui/audit" { "The audit log" } })),
                Ok(history) => (rows(&history.items)),
                Err(trouble) => (layout::trouble(trouble)),
            }
        }
    };
    html::page(status, layout::page(who, Place::Sessions, "Session", Renewal::Still, body))
}

fn facts(session: &Session) -> Markup {
    html! {
        section aria-labelledby="facts-title" {
            h2 id="facts-title" { "The session" }
            dl {
                dt { "Id" } dd { code { (session.id) } }
                dt { "Measurement" } dd { a href={ "/ui/measurements/" (encoded(&session.workload)) "/" (encoded(&session.measurement)) } { (session.workload) "/" (session.measurement) } }
                dt { "Admitted" } dd { (time(&session.admitted)) " by epoch " (session.epoch) }
                dt { "Lease" } dd { (session.lease_seconds) " s, ends " (time(&session.lease_ends)) }
                dt { "Attested" } dd { (session.sequence) " times in this boot" }
                dt { "Boot" } dd { code { (session.boot_id) } }
                dt { "Key, SHA-256" } dd { code { (session.key) } }
                @if let Some(replica) = &session.replica { dt { "Replica" } dd { code { (replica) } } }
            }
        }
    }
}

/// Documents are not kept: what is known of them is what was checked, and their hash.
fn document(
    session: &Session,
    measurement: Option<&Measurement>,
    history: &Result<Entries, Trouble>,
) -> Markup {
    let last = history.iter().flat_map(|history| &history.items).find(|row| row.evidence.is_some());
    html! {
        section aria-labelledby="document-title" {
            h2 id="document-title" { "What its document said" }
            dl {
                @if let Some(module) = &session.module_id { dt { "Instance and enclave" } dd { (module) } }
                @if let Some(row) = last {
                    dt { "Last document" } dd { (row.code) " " (time(&row.at)) }
                    dt { "Its SHA-256" } dd { code { (row.evidence.as_deref().unwrap_or_default()) } }
                }
            }
            @if let Some(measurement) = measurement {
                p { "Its PCRs were these, or it had not been admitted:" }
                (pcr_table(&measurement.pcrs))
            }
            p.fine { "The proxy keeps no documents. Whoever has one sees its certificate chain and times under "
                a href="/ui/explain" { "Explain" } "; the SHA-256 there tells that it is the same." }
        }
    }
}

fn end_form(who: &Visitor, session: &Session) -> Markup {
    html! {
        section aria-labelledby="end-title" {
            h2 id="end-title" { "End it" }
            p { "Every tunnel of it is cut on every replica. The enclave may attest again: to keep it out, revoke its measurement." }
            form.fields method="post" action={ "/ui/sessions/" (session.id) "/end" } {
                (csrf(&who.csrf))
                div { label for="reason" { "Why (for the audit)" } input id="reason" name="reason" maxlength="500"; }
                div { button.danger type="submit" { "End this session" } }
            }
        }
    }
}

#[derive(Deserialize)]
struct Session {
    id: String,
    workload: String,
    measurement: String,
    key: String,
    boot_id: String,
    sequence: u64,
    lease_seconds: u64,
    lease_ends: String,
    admitted: String,
    epoch: u64,
    module_id: Option<String>,
    replica: Option<String>,
}
