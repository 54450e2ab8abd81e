//! `telemetry`: the collector that this program tells of itself.

use std::path::Path;

use countersign_protocol::egress::EgressPolicy;
use countersign_telemetry::otlp::Endpoint;
use rustls_pki_types::CertificateDer;

use super::{Files, Mistake, node::At, raw, shape::path_of};
use crate::{
    telemetry::{CollectorDenied, destination},
    tls::certificates,
};

/// The collector.
#[derive(Clone, Debug)]
pub struct TelemetryEntry {
    /// Where it is. The rules of the manifest allow it.
    pub endpoint: Endpoint,
    /// Whom its certificate must come from; `None`: the public roots.
    pub anchors: Option<Vec<CertificateDer<'static>>>,
}

impl TelemetryEntry {
    /// What was written, checked; `None` with at least one mistake noted. `policy` is that of the same manifest.
    pub(super) fn check(
        raw: &raw::Telemetry,
        policy: &EgressPolicy,
        files: &Files<'_>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Self> {
        let raw::Telemetry { endpoint, anchor_file } = raw;
        let anchors = anchor_file.as_ref().map(|file| anchors(file, files, mistakes));
        let endpoint = endpoint.as_ref()?;
        let checked = parse(&endpoint.value, policy);
        let checked = checked
            .map_err(|why| mistakes.push(endpoint.place.mistake(path_of(PATH, "endpoint"), why)))
            .ok()?;
        match anchors {
            None => Some(Self { endpoint: checked, anchors: None }),
            Some(anchors) => Some(Self { endpoint: checked, anchors: Some(anchors?) }),
        }
    }
}

fn parse(url: &str, policy: &EgressPolicy) -> Result<Endpoint, String> {
    let endpoint = Endpoint::parse(url).map_err(|why| why.to_string())?;
    let to = destination(&endpoint).map_err(|why| why.to_string())?;
    policy.judge(&to).map_err(|denial| CollectorDenied::new(&to, &denial).to_string())?;
    Ok(endpoint)
}

fn anchors(
    file: &At<String>,
    files: &Files<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Vec<CertificateDer<'static>>> {
    let path = path_of(PATH, "anchor_file");
    let pem = (files.beside)(Path::new(&file.value)).map_err(|why| format!("cannot be read: {why}"));
    let anchors = pem.and_then(|pem| certificates(&pem).map_err(|why| why.to_string()));
    anchors.map_err(|why| mistakes.push(file.place.mistake(path, why))).ok()
}

const PATH: &str = "telemetry";
