use std::collections::BTreeMap;

use axum::{
    extract::{Query, State},
    response::Response,
};
use http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ask::{Question, Trouble},
    form::{Fields, Form},
    guard::{Page, Visitor},
    html,
    layout::{self, Place, Renewal, csrf, empty, may, short, state, time, wide},
    listing::{Listing, Part, status},
};
use crate::{admin::identity::Permission, percent::encoded};

/// Which enclaves are allowed.
pub(super) async fn list(
    State(page): State<Page>,
    who: Visitor,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let listing = Listing::of("/ui/measurements", &asked, ["workload", "state"]);
    let answer = listing.ask::<Measurement>(&page, &who, "/v1/measurements").await;
    let none = |_: &_| {
        empty(
            "No measurement here",
            html! {
                "An enclave is admitted when its PCRs are those of an active measurement. "
                code { "nitro-cli build-enclave" } " prints them; " a href="/ui/measurements/add" { "add them" } "."
            },
        )
    };
    let body = html! {
        @if may(&who, Permission::Change) { p { a.button href="/ui/measurements/add" { "Add a measurement" } } }
        (listing.form("Filter measurements", html! {
            (listing.field("workload", "Workload", None))
            (listing.choice("state", "State", "every state", &["active", "pending", "revoked"]))
        }))
        div id="list" data-part { (listing.show(&answer, table, none)) }
    };
    html::page(status(&answer), layout::page(&who, Place::Measurements, "Measurements", Renewal::Live, body))
}

fn table(measurements: &[Measurement]) -> Markup {
    wide(
        "Measurements",
        html! { table {
            thead { tr {
                th scope="col" { "Workload and name" } th scope="col" { "State" } th scope="col" { "Version" }
                th scope="col" { "PCR0" } th scope="col" { "Added" } th scope="col" { "By" }
            } }
            tbody { @for one in measurements { tr {
                td { a href=(one.path()) { (one.workload) "/" (one.name) } }
                td { (state(&one.state)) }
                td { (one.version.as_deref().unwrap_or_default()) }
                td { @if let Some(pcr0) = one.pcrs.get("0") { (short(pcr0)) } }
                td { (time(&one.created)) }
                td { (one.author.as_deref().unwrap_or_default()) }
            } } }
        } },
    )
}

/// A form for a new one.
pub(super) async fn form(State(page): State<Page>, who: Visitor) -> Response {
    adding(&page, &who, &Fields::default(), None).await
}

/// Checks it, or adds it.
pub(super) async fn add(State(page): State<Page>, Form { who, fields }: Form) -> Response {
    let pcrs: Result<Value, _> = serde_json::from_str(fields.text("pcrs"));
    let Ok(pcrs) = pcrs else {
        let trouble = Trouble::said(
            "invalid",
            "pcrs: this is no JSON; paste what nitro-cli printed, from brace to brace",
        );
        return adding(&page, &who, &fields, Some(Err(trouble))).await;
    };
    let mut body = json!({ "name": fields.text("name"), "pcrs": pcrs });
    for name in ["version", "not_before", "expires"] {
        if !fields.text(name).is_empty() {
            body[name] = json!(fields.text(name));
        }
    }
    let dry = if fields.has("check") { "?dry_run=true" } else { "" };
    let path = format!("/v1/workloads/{}/measurements{dry}", encoded(fields.text("workload")));
    let outcome: Result<Value, Trouble> = page.asker.ask(&who, Question::post(&path).json(body)).await;
    adding(&page, &who, &fields, Some(outcome)).await
}

async fn adding(
    page: &Page,
    who: &Visitor,
    fields: &Fields,
    outcome: Option<Result<Value, Trouble>>,
) -> Response {
    let workloads: Result<Workloads, Trouble> = page.asker.get(who, "/v1/workloads?limit=1000").await;
    let status = match &outcome {
        Some(Err(trouble)) => trouble.status(),
        _ => StatusCode::OK,
    };
    let body = html! {
        @match &outcome {
            None => {},
            Some(Err(trouble)) => (layout::trouble(trouble)),
            Some(Ok(outcome)) => (added(fields, outcome)),
        }
        @match &workloads {
            Err(trouble) => (layout::trouble(trouble)),
            Ok(list) if list.items.is_empty() => (empty("There is no workload yet", html! {
                "A measurement belongs to one. Make it with " code { "countersign-proxy workload set NAME --destination HOST:PORT" } "."
            })),
            Ok(list) => (add_form(who, &list.items, fields)),
        }
    };
    html::page(status, layout::page(who, Place::Measurements, "Add a measurement", Renewal::Still, body))
}

fn added(fields: &Fields, outcome: &Value) -> Markup {
    let waits = outcome["standing"]["state"] == "waiting";
    let place = format!("{}/{}", fields.text("workload"), fields.text("name"));
    let path =
        format!("/ui/measurements/{}/{}", encoded(fields.text("workload")), encoded(fields.text("name")));
    html! {
        div.done role="status" {
            @if outcome["dry_run"] == true {
                p { "Nothing was changed. " strong { (place) } " would be "
                    @if waits { "waiting for approval." } @else { "in force at once." } }
            } @else {
                p { "Added " a href=(path) { (place) }
                    @if waits { "; it admits nobody until it is approved." } @else { "; it admits from now on." } }
            }
        }
        @for warning in outcome["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) { p.warn { (warning) } }
    }
}

fn add_form(who: &Visitor, workloads: &[Workload], fields: &Fields) -> Markup {
    let input = |name: &str, label: &str, help: &str, required: bool| {
        html! {
            div {
                label for=(name) { (label) }
                p.fine id={ (name) "-help" } { (help) }
                input id=(name) name=(name) value=(fields.text(name)) required[required] aria-describedby={ (name) "-help" }
                    autocapitalize="none" spellcheck="false";
            }
        }
    };
    html! {
        form.fields method="post" action="/ui/measurements/add" {
            (csrf(&who.csrf))
            div {
                label for="workload" { "Workload" }
                select id="workload" name="workload" required {
                    @for one in workloads.iter().filter(|one| one.state != "revoked") {
                        option value=(one.name) selected[one.name == fields.text("workload")] { (one.name) }
                    }
                }
            }
            (input("name", "Name", "Unique in the workload: a release, as v1.4.2.", true))
            (input("version", "Version", "For people.", false))
            div {
                label for="pcrs" { "PCRs" }
                p.fine id="pcrs-help" { "What " code { "nitro-cli build-enclave" } " or " code { "describe-eif" } " printed, or {\"0\": …, \"1\": …, \"2\": …}." }
                textarea id="pcrs" name="pcrs" required spellcheck="false" aria-describedby="pcrs-help" { (fields.text("pcrs")) }
                (file("pcrs"))
            }
            (input("not_before", "Admits from", "A time in UTC, as 2030-01-01T00:00:00Z; empty is at once.", false))
            (input("expires", "Admits until", "A time in UTC; empty is for ever.", false))
            div.row {
                button type="submit" name="check" value="yes" { "Check, and change nothing" }
                button type="submit" { "Add" }
            }
        }
    }
}

/// Reads a file into a text area; without a script there is no such field.
pub(super) fn file(into: &str) -> Markup {
    html! {
        div.file hidden {
            label for={ (into) "-file" } { "Or a file: choose it, or drop it into the field" }
            input type="file" id={ (into) "-file" } data-into=(into);
            p.fine id={ (into) "-told" } role="status" {}
        }
    }
}

/// Some of them.
pub(super) type Measurements = Part<Measurement>;

/// A measurement, as far as pages show it.
#[derive(Deserialize)]
pub(super) struct Measurement {
    pub(super) workload: String,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) pcrs: BTreeMap<String, String>,
    pub(super) version: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) not_before: Option<String>,
    pub(super) expires: Option<String>,
    pub(super) origin: String,
    pub(super) author: Option<String>,
    pub(super) pending: Option<Pending>,
    pub(super) approvers: Vec<String>,
    pub(super) created: String,
    pub(super) revision: u64,
    pub(super) epoch: u64,
    pub(super) reason: Option<String>,
}

/// A validity that allows more than the one in force.
#[derive(Deserialize)]
pub(super) struct Pending {
    pub(super) not_before: Option<String>,
    pub(super) expires: Option<String>,
    pub(super) author: String,
}

impl Measurement {
    /// Who asks for what waits.
    pub(super) fn asked(&self) -> String {
        match (&self.pending, &self.author) {
            (Some(pending), _) => format!(", a validity that {} asks for", pending.author),
            (None, Some(author)) => format!(", added by {author}"),
            (None, None) => String::new(),
        }
    }

    /// Where its page is.
    pub(super) fn path(&self) -> String {
        format!("/ui/measurements/{}/{}", encoded(&self.workload), encoded(&self.name))
    }
}

#[derive(Deserialize)]
struct Workloads {
    items: Vec<Workload>,
}

#[derive(Deserialize)]
struct Workload {
    name: String,
    state: String,
}
