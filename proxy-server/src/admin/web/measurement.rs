use std::collections::BTreeMap;

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::{
    ask::{Question, Trouble},
    form::Form,
    guard::{Page, Visitor},
    html,
    layout::{self, Place, Renewal, csrf, may, state, time, wide},
    measurements::Measurement,
};
use crate::{admin::identity::Permission, percent::encoded};

type Names = (String, String);

/// One measurement, and what may be done with it.
pub(super) async fn show(State(page): State<Page>, who: Visitor, Path(names): Path<Names>) -> Response {
    one(&page, &who, &names, None).await
}

/// What a revocation would cut: asked of the API as a dry run.
pub(super) async fn would_revoke(
    State(page): State<Page>,
    who: Visitor,
    Path(names): Path<Names>,
) -> Response {
    let outcome = ask_revocation(&page, &who, &names, "", "?dry_run=true").await;
    let status = outcome.as_ref().map_or_else(Trouble::status, |_| StatusCode::OK);
    let (workload, measurement) = &names;
    let path = format!("/ui/measurements/{}/{}", encoded(workload), encoded(measurement));
    let body = html! {
        @match &outcome {
            Err(trouble) => (layout::trouble(trouble)),
            Ok(outcome) => {
                div.warn { p { strong { "Before you go on: " } (outcome["outcome"]["impact"]["words"].as_str().unwrap_or_default()) "." } }
                p { "It is for good: its PCRs leave a tombstone, and no measurement can bring them back by accident." }
                form.fields method="post" action={ (path) "/revoke" } {
                    (csrf(&who.csrf))
                    div { label for="reason" { "Why (for the audit)" } input id="reason" name="reason" maxlength="500"; }
                    div.row {
                        button.danger type="submit" { "Revoke " (workload) "/" (measurement) }
                        a href=(path) { "Leave it as it is" }
                    }
                }
            }
        }
    };
    let title = format!("Revoke {workload}/{measurement}?");
    html::page(status, layout::page(&who, Place::Measurements, &title, Renewal::Still, body))
}

/// Revokes it, and waits a moment for the replicas to say that they have cut.
pub(super) async fn revoke(
    State(page): State<Page>,
    Path(names): Path<Names>,
    Form { who, fields }: Form,
) -> Response {
    let outcome = ask_revocation(&page, &who, &names, fields.text("reason"), "?wait=2s").await;
    let done = outcome.map(|outcome| {
        let replicas = |key: &str| {
            let names = outcome[key].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str());
            names.map(str::to_owned).collect::<Vec<_>>().join(", ")
        };
        let words = outcome["outcome"]["impact"]["words"].as_str().unwrap_or_default();
        html! {
            p { "Revoked: " (words) "." }
            @if outcome["acknowledged"] == true { p { "Every replica has cut: " (replicas("cut")) "." } }
            @else if outcome["unheard"] == true { p { "It is committed. The store does not say who has cut: look at the overview's replicas." } }
            @else { p { "Not every replica has said that it cut. Waiting for: " (replicas("laggards")) "." } }
        }
    });
    one(&page, &who, &names, Some(done)).await
}

async fn ask_revocation(
    page: &Page,
    who: &Visitor,
    names: &Names,
    reason: &str,
    query: &str,
) -> Result<Value, Trouble> {
    let mut body = json!({ "workload": names.0, "measurement": names.1 });
    if !reason.is_empty() {
        body["reason"] = json!(reason);
    }
    page.asker.ask(who, Question::post(&format!("/v1/revocations{query}")).json(body)).await
}

/// Says yes to what was read: its revision comes with the form.
pub(super) async fn approve(
    State(page): State<Page>,
    Path(names): Path<Names>,
    Form { who, fields }: Form,
) -> Response {
    let said = |outcome: &Value| {
        let standing = &outcome["standing"];
        match standing["state"] == "waiting" {
            true => format!("Approved. {} of {} have said yes.", standing["approvals"], standing["needed"]),
            false => "Approved. It is in force.".to_owned(),
        }
    };
    decide(&page, &who, &names, fields.text("revision"), Question::post, said).await
}

/// Takes it back.
pub(super) async fn withdraw(
    State(page): State<Page>,
    Path(names): Path<Names>,
    Form { who, fields }: Form,
) -> Response {
    let said = |outcome: &Value| {
        let rest =
            if outcome["revision"].is_null() { "Nothing of it is left." } else { "What was in force stays." };
        format!("Taken back. {rest}")
    };
    decide(&page, &who, &names, fields.text("revision"), Question::delete, said).await
}

async fn decide(
    page: &Page,
    who: &Visitor,
    names: &Names,
    revision: &str,
    question: fn(&str) -> Question,
    said: impl Fn(&Value) -> String,
) -> Response {
    let path = format!("{}/approvals", api_path(names));
    let answer = match revision.parse() {
        Ok(revision) => page.asker.ask::<Value>(who, question(&path).if_match(revision)).await,
        Err(_) => Err(Trouble::said("bad-request", "the form names no revision: open the page again")),
    };
    let done = answer.map(|outcome| html! { p { (said(&outcome)) } });
    one(page, who, names, Some(done)).await
}

async fn one(page: &Page, who: &Visitor, names: &Names, done: Option<Result<Markup, Trouble>>) -> Response {
    let found: Result<Measurement, Trouble> = page.asker.get(who, &api_path(names)).await;
    let status = match (&done, &found) {
        (Some(Err(trouble)), _) => trouble.status(),
        (Some(Ok(_)), _) | (None, Ok(_)) => StatusCode::OK,
        (None, Err(trouble)) => trouble.status(),
    };
    let body = html! {
        @match &done {
            None => {},
            Some(Ok(words)) => div.done role="status" { (words) },
            Some(Err(trouble)) => (layout::trouble(trouble)),
        }
        @match &found {
            Ok(measurement) => (facts(who, measurement)),
            Err(_) if matches!(done, Some(Ok(_))) => p { a href="/ui/measurements" { "All measurements" } },
            Err(trouble) => (layout::trouble(trouble)),
        }
    };
    let title = format!("{}/{}", names.0, names.1);
    html::page(status, layout::page(who, Place::Measurements, &title, Renewal::Still, body))
}

fn facts(who: &Visitor, one: &Measurement) -> Markup {
    html! {
        section aria-labelledby="facts-title" {
            h2 id="facts-title" { "The measurement" }
            dl {
                dt { "State" } dd { (state(&one.state)) @if let Some(reason) = &one.reason { " " (reason) } }
                @if let Some(version) = &one.version { dt { "Version" } dd { (version) } }
                @for (key, value) in &one.labels { dt { (key) } dd { (value) } }
                @if let Some(from) = &one.not_before { dt { "Admits from" } dd { (time(from)) } }
                @if let Some(until) = &one.expires { dt { "Admits until" } dd { (time(until)) } }
                dt { "Added" } dd { (time(&one.created)) @if let Some(author) = &one.author { " by " (author) } }
                dt { "Kept by" } dd { (one.origin) }
                dt { "Approved by" } dd { @if one.approvers.is_empty() { "nobody" } @else { (one.approvers.join(", ")) } }
                dt { "Revision" } dd { (one.revision) ", epoch " (one.epoch) }
            }
            p { a href={ "/ui/sessions?workload=" (encoded(&one.workload)) "&measurement=" (encoded(&one.name)) } { "Its sessions" } }
        }
        section aria-labelledby="pcrs-title" { h2 id="pcrs-title" { "PCRs" } (pcr_table(&one.pcrs)) }
        @if one.state == "pending" || one.pending.is_some() { (waiting(who, one)) }
        @if one.state != "revoked" && may(who, Permission::Revoke) {
            section aria-labelledby="revoke-title" {
                h2 id="revoke-title" { "Revoke it" }
                p { "One person is enough. You see first what it would cut." }
                p { a.button.danger href={ (one.path()) "/revoke" } { "See what a revocation would cut" } }
            }
        }
    }
}

fn waiting(who: &Visitor, one: &Measurement) -> Markup {
    let button = |path: &str, words: &str| {
        html! {
            form method="post" action={ (one.path()) (path) } {
                (csrf(&who.csrf))
                input type="hidden" name="revision" value=(one.revision);
                button type="submit" { (words) }
            }
        }
    };
    let moment = |at: Option<&str>, always: &str| match at {
        Some(at) => time(at),
        None => html! { (always) },
    };
    let asker = one.pending.as_ref().map(|pending| pending.author.as_str()).or(one.author.as_deref());
    let asker = asker.unwrap_or("its author");
    html! {
        section aria-labelledby="waiting-title" {
            h2 id="waiting-title" { "Waits for approval" }
            @if let Some(pending) = &one.pending {
                p { (pending.author) " asks that it admits longer. When that is approved, this holds:" }
                dl {
                    dt { "Admits from" } dd { (moment(pending.not_before.as_deref(), "once it is approved")) }
                    dt { "Admits until" } dd { (moment(pending.expires.as_deref(), "for ever")) }
                }
            }
            p { "Somebody else than " (asker) " must say yes. What you approve is revision " (one.revision) ": if it changes meanwhile, nothing is approved." }
            div.row {
                @if may(who, Permission::Approve) { (button("/approve", "Approve")) }
                @if may(who, Permission::Change) { (button("/withdraw", "Take it back")) }
            }
        }
    }
}

/// PCRs by number, with what each measures.
pub(super) fn pcr_table(pcrs: &BTreeMap<String, String>) -> Markup {
    let mut pcrs: Vec<_> =
        pcrs.iter().map(|(index, value)| (index.parse::<u64>().unwrap_or(u64::MAX), value)).collect();
    pcrs.sort_by_key(|(index, _)| *index);
    wide(
        "PCRs",
        html! { table {
            thead { tr { th scope="col" { "PCR" } th scope="col" { "Measures" } th scope="col" { "Value" } } }
            tbody { @for (index, value) in pcrs { tr {
                th scope="row" { (index) } td { (meaning(index)) } td { code { (value) } }
            } } }
        } },
    )
}

fn meaning(index: u64) -> &'static str {
    countersign_verifier::PcrIndex::new(index).map(crate::admin::model::meaning).unwrap_or_default()
}

fn api_path(names: &Names) -> String {
    format!("/v1/workloads/{}/measurements/{}", encoded(&names.0), encoded(&names.1))
}
