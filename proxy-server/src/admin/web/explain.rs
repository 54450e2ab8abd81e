use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ask::{Question, Trouble},
    form::{Fields, Form},
    guard::{Page, Visitor},
    html,
    layout::{self, Place, Renewal, csrf, state, time, wide},
    measurement::pcr_table,
    measurements::file,
};
use crate::percent::encoded;

/// Asks for something to explain.
pub(super) async fn form(who: Visitor) -> Response {
    let body = html! { (ask(&who, "")) };
    html::page(StatusCode::OK, layout::page(&who, Place::Explain, TITLE, Renewal::Still, body))
}

/// Explains it.
pub(super) async fn explain(State(page): State<Page>, Form { who, fields }: Form) -> Response {
    let answer = told(&page, &who, &fields).await;
    let status = answer.as_ref().map_or_else(Trouble::status, |_| StatusCode::OK);
    let body = html! {
        @match &answer {
            Ok(explained) => (result(explained)),
            Err(trouble) => (layout::trouble(trouble)),
        }
        (ask(&who, fields.text("evidence")))
    };
    html::page(status, layout::page(&who, Place::Explain, TITLE, Renewal::Still, body))
}

async fn told(page: &Page, who: &Visitor, fields: &Fields) -> Result<Explained, Trouble> {
    let text = fields.text("evidence");
    let body = if text.starts_with('{') {
        let pcrs: Value = serde_json::from_str(text).map_err(|error| {
            Trouble::said("invalid", &format!("this JSON ends early or is broken: {error}"))
        })?;
        json!({ "pcrs": pcrs })
    } else {
        let document: String = text.split_whitespace().collect();
        json!({ "document": document })
    };
    page.asker.ask(who, Question::post("/v1/explain").json(body)).await
}

fn ask(who: &Visitor, text: &str) -> Markup {
    html! {
        section aria-labelledby="ask-title" {
            h2 id="ask-title" { "What would be admitted, and what differs" }
            form.fields method="post" action="/ui/explain" {
                (csrf(&who.csrf))
                div {
                    label for="evidence" { "Attestation document or PCRs" }
                    p.fine id="evidence-help" {
                        "A document in base64, or JSON of " code { "nitro-cli build-enclave" } " or " code { "describe-eif" } ". It goes to this proxy and nowhere else, and is not kept."
                    }
                    textarea id="evidence" name="evidence" required spellcheck="false" aria-describedby="evidence-help" { (text) }
                    (file("evidence"))
                }
                div { button type="submit" { "Explain" } }
            }
        }
    }
}

fn result(told: &Explained) -> Markup {
    let class = if told.admitted { "done" } else { "warn" };
    html! {
        div class=(class) role="status" id="verdict" {
            p { strong { @if told.admitted { "Would be admitted" } @else { "Would be refused" } } ": " (told.words) "." }
        }
        @if let Some(nearest) = &told.nearest { (differences(nearest)) }
        section aria-labelledby="matches-title" {
            h2 id="matches-title" { "Measurements that match" }
            @if told.matches.is_empty() { p { "None." } }
            @else { ul { @for one in &told.matches { li {
                a href={ "/ui/measurements/" (encoded(&one.workload)) "/" (encoded(&one.measurement)) } { (one.workload) "/" (one.measurement) }
            } } } }
            @if let Some(revoked) = &told.revoked { p { "Revoked as " (revoked) ": that denies, whatever else would allow." } }
        }
        @if let Some(verification) = &told.verification { (verified(verification)) }
        @if let Some(document) = &told.document { (says(document, told.evidence.as_deref())) }
    }
}

fn differences(nearest: &Nearest) -> Markup {
    html! {
        section aria-labelledby="nearest-title" {
            h2 id="nearest-title" { "What differs from " (nearest.workload) "/" (nearest.measurement) ", the nearest" }
            (wide("Differences", html! { table {
                thead { tr { th scope="col" { "PCR" } th scope="col" { "Measures" } th scope="col" { "Allowed" } th scope="col" { "Found" } } }
                tbody { @for one in &nearest.differences { tr {
                    th scope="row" { (one.pcr) } td { (one.of) } td { code { (one.expected) } }
                    td { @match &one.actual { Some(actual) => code { (actual) }, None => "not in it" } }
                } } }
            } }))
        }
    }
}

fn verified(verification: &Verification) -> Markup {
    html! {
        section aria-labelledby="verified-title" {
            h2 id="verified-title" { "Chain and signature" }
            dl {
                dt { "Verdict" } dd { (state(&verification.verdict)) }
                @if let Some(root) = &verification.root { dt { "Root" } dd { (root) } }
                @if let Some(until) = &verification.not_after { dt { "Nothing outlives" } dd { (time(until)) } }
                @if let Some(stage) = &verification.stage { dt { "Stage" } dd { (stage) } }
                @if let Some(code) = &verification.code { dt { "Code" } dd { code { (code) } } }
                @if let Some(detail) = &verification.detail { dt { "Why" } dd { (detail) } }
            }
        }
    }
}

fn says(document: &Document, evidence: Option<&str>) -> Markup {
    html! {
        section aria-labelledby="says-title" {
            h2 id="says-title" { "What the document says" }
            dl {
                dt { "Instance and enclave" } dd { (document.module_id) }
                dt { "Made" } dd { (time(&document.timestamp)) }
                @if let Some(evidence) = evidence { dt { "SHA-256" } dd { code { (evidence) } } }
                @if document.debug_mode { dt { "Debug mode" } dd { "yes: anyone on its host can read it" } }
            }
            (pcr_table(&document.pcrs))
            @if !document.chain.is_empty() {
                h3 { "Certificates, as the document carries them" }
                (wide("Certificates", html! { table {
                    thead { tr { th scope="col" { "Subject" } th scope="col" { "From" } th scope="col" { "Until" } } }
                    tbody { @for one in &document.chain { tr { td { (one.subject) } td { (time(&one.not_before)) } td { (time(&one.not_after)) } } } }
                } }))
            }
        }
    }
}

#[derive(Deserialize)]
struct Explained {
    evidence: Option<String>,
    document: Option<Document>,
    verification: Option<Verification>,
    matches: Vec<Match>,
    nearest: Option<Nearest>,
    revoked: Option<String>,
    admitted: bool,
    words: String,
}

#[derive(Deserialize)]
struct Document {
    module_id: String,
    timestamp: String,
    pcrs: BTreeMap<String, String>,
    debug_mode: bool,
    chain: Vec<Certificate>,
}

#[derive(Deserialize)]
struct Certificate {
    subject: String,
    not_before: String,
    not_after: String,
}

#[derive(Deserialize)]
struct Verification {
    verdict: String,
    root: Option<String>,
    not_after: Option<String>,
    stage: Option<String>,
    code: Option<String>,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Match {
    workload: String,
    measurement: String,
}

#[derive(Deserialize)]
struct Nearest {
    workload: String,
    measurement: String,
    differences: Vec<Difference>,
}

#[derive(Deserialize)]
struct Difference {
    pcr: u64,
    of: String,
    expected: String,
    actual: Option<String>,
}

const TITLE: &str = "Explain";
