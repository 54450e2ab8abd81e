//! `inspect`: what a document says.

use crate::Outcome;
use crate::args::{InspectArguments, Output};
use crate::input::{self, Form, Input};
use crate::output::{moment, print, print_json, refusal_json, refusal_text, visible};
use countersign_verifier::{CertificateSummary, PcrSet, Refusal, UnverifiedDocument};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Reads and prints one document.
pub(crate) fn run(arguments: &InspectArguments) -> Result<Outcome, String> {
    let input = input::read(&arguments.file)?;
    let parsed = match &input {
        Ok(Input { form, bytes }) => UnverifiedDocument::parse(bytes).map(|document| (*form, document)),
        Err(refusal) => Err(refusal.clone()),
    };
    match (parsed, arguments.output) {
        (Ok((form, document)), Output::Json) => print_json(&as_json(form, &document))?,
        (Ok((form, document)), Output::Text) => print(&as_text(form, &document))?,
        (Err(refusal), output) => return refused(&refusal, output),
    }
    Ok(Outcome::Accepted)
}

fn refused(refusal: &Refusal, output: Output) -> Result<Outcome, String> {
    match output {
        Output::Json => print_json(&refusal_json(refusal))?,
        Output::Text => print(&refusal_text(refusal))?,
    }
    Ok(Outcome::Refused)
}

fn as_json(form: Form, document: &UnverifiedDocument<'_>) -> Value {
    let bytes = |value: Option<&[u8]>| value.map(hex::encode);
    let certificates: Vec<_> = chain(document)
        .map(|(place, der)| match CertificateSummary::parse(der) {
            Ok(CertificateSummary { subject, issuer, serial, not_before, not_after }) => json!({
                "place": place, "subject": subject, "issuer": issuer, "serial": serial,
                "not_before": moment(not_before), "not_after": moment(not_after), "bytes": der.len(),
            }),
            Err(fault) => json!({ "place": place, "unreadable": format!("{fault:?}"), "bytes": der.len() }),
        })
        .collect();
    json!({
        "verified": false,
        "form": form.as_str(),
        "module_id": document.module_id(),
        "digest": "SHA384",
        "timestamp": moment(document.timestamp()),
        "debug_mode": document.pcrs().is_debug(),
        "pcrs": pcrs_json(document.pcrs()),
        "public_key": bytes(document.public_key()),
        "user_data": bytes(document.user_data()),
        "nonce": bytes(document.nonce()),
        "certificates": certificates,
    })
}

/// PCRs by their names, as nitro-cli writes them: `jq .pcrs` makes a measurement file of it.
pub(crate) fn pcrs_json(pcrs: &PcrSet) -> Map<String, Value> {
    pcrs.iter().map(|(index, value)| (index.to_string(), value.to_string().into())).collect()
}

fn as_text(form: Form, document: &UnverifiedDocument<'_>) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| _ = writeln!(out, "{name:<12}{value}");
    line("document", format!("{}, not verified", form.as_str()));
    line("module_id", visible(document.module_id()));
    line("timestamp", format!("{} ({})", document.timestamp(), document.timestamp().as_millis()));
    if document.pcrs().is_debug() {
        line(
            "debug mode",
            "yes: PCR0, PCR1 and PCR2 are zero, and the host can read this enclave".to_owned(),
        );
    }
    let (set, zero): (Vec<_>, Vec<_>) =
        document.pcrs().iter().partition(|(index, value)| index.get() < 3 || value.as_bytes() != &[0; 48]);
    for (index, value) in set {
        line(&index.to_string(), value.to_string());
    }
    if let (Some((first, _)), Some((last, _))) = (zero.first(), zero.last()) {
        line("other PCRs", format!("{} of them zero, between {first} and {last}", zero.len()));
    }
    for (name, value) in [
        ("public_key", document.public_key()),
        ("user_data", document.user_data()),
        ("nonce", document.nonce()),
    ] {
        line(
            name,
            value.map_or("none".to_owned(), |bytes| format!("{} bytes {}", bytes.len(), hex::encode(bytes))),
        );
    }
    for (place, der) in chain(document) {
        let summary = match CertificateSummary::parse(der) {
            Ok(CertificateSummary { subject, not_before, not_after, .. }) => {
                format!("{}, {not_before} to {not_after}", visible(&subject))
            }
            Err(fault) => format!("unreadable: {fault:?}"),
        };
        line(&place, summary);
    }
    out
}

/// Each certificate with its place, from the root to the leaf.
fn chain<'d>(document: &'d UnverifiedDocument<'_>) -> impl Iterator<Item = (String, &'d [u8])> {
    let bundle = document.cabundle().iter().enumerate();
    let bundle = bundle
        .map(|(index, &der)| (if index == 0 { "root".to_owned() } else { format!("issuer {index}") }, der));
    bundle.chain([("leaf".to_owned(), document.certificate())])
}
