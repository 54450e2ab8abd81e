use std::{borrow::Cow, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_protocol::{
    Problem, ProblemCode,
    ingress::{CallerNonce, INGRESS_BINDING, INGRESS_EXPORTER_LABEL, IngressBinder},
    wire,
};
use http::StatusCode;
use rustls::ServerConnection;
use tokio::{sync::Semaphore, time::Instant};
use tracing::warn;

use super::{COMPLAIN_EVERY, budget::Budget, sniff::After};
use crate::{
    attest::chain,
    device::{Device, DocumentRequest},
    random::request_id,
};

/// Answers callers that ask what they are connected to. Shared by all ports.
///
/// The device handles one request at a time and the enclave's own sessions need
/// it as well, so strangers get a few places in its line and no more.
#[derive(Debug)]
pub(super) struct Attestation {
    device: Device,
    budget: Budget,
    line: Semaphore,
    /// Strangers do not write the log.
    complaints: Budget,
}

impl Attestation {
    pub(super) fn new(device: Device) -> Self {
        let complaints = Budget::new(COMPLAIN_EVERY, 1);
        Self { device, budget: Budget::new(EVERY, BURST), line: Semaphore::new(LINE), complaints }
    }

    /// The whole HTTP answer for a nonce on this connection.
    pub(super) async fn answer(
        &self,
        spki: &[u8],
        tls: &ServerConnection,
        nonce: &CallerNonce,
        after: After,
    ) -> Vec<u8> {
        match self.document(spki, tls, nonce).await {
            Ok(document) => {
                let body = serde_json::json!({
                    "binding": INGRESS_BINDING,
                    "document": STANDARD.encode(document),
                });
                http(200, "application/json", "", &body.to_string(), after)
            }
            Err(problem) => refusal(&problem, after),
        }
    }

    async fn document(
        &self,
        spki: &[u8],
        tls: &ServerConnection,
        nonce: &CallerNonce,
    ) -> Result<Vec<u8>, Problem> {
        let busy = || {
            let detail = "too many attestations; try again";
            let problem = Problem::new(ProblemCode::AttestingTooOften, detail, request_id());
            if self.complaints.take(Instant::now()) {
                warn!(code = %problem.code, request_id = %problem.request_id, "ingress attestation: {detail}");
            }
            problem
        };
        let _place = self.line.try_acquire().map_err(|_| busy())?;
        if !self.budget.take(Instant::now()) {
            return Err(busy());
        }
        let mut exporter = [0; wire::EXPORTER_LEN];
        tls.export_keying_material(&mut exporter, INGRESS_EXPORTER_LABEL, None)
            .map_err(|why| no_document(&why))?;
        let request = DocumentRequest {
            public_key: spki.to_vec(),
            user_data: IngressBinder { spki, exporter: &exporter }.digest().to_vec(),
            nonce: nonce.as_bytes().to_vec(),
        };
        self.device.document(request).await.map_err(|why| no_document(&why))
    }
}

/// The answer to a request that asks wrongly; the connection ends with it.
pub(super) fn wrong(why: String) -> Vec<u8> {
    refusal(&Problem::new(ProblemCode::BadRequest, why, request_id()), After::Close)
}

/// The log has the reasons; the caller is a stranger.
fn no_document(why: &dyn std::error::Error) -> Problem {
    let request_id = request_id();
    warn!(code = "no-document", %request_id, "no document for an ingress caller: {}", chain(why));
    let detail = "the security module gave no document".to_owned();
    Problem { status: 503, code: Cow::Borrowed("no-document"), detail, request_id }
}

fn refusal(problem: &Problem, after: After) -> Vec<u8> {
    let retry = if matches!(problem.status, 429 | 503) { "Retry-After: 1\r\n" } else { "" };
    let body = serde_json::to_string(problem).unwrap_or_default();
    http(problem.status, wire::PROBLEM_JSON, retry, &body, after)
}

fn http(status: u16, kind: &str, more: &str, body: &str, after: After) -> Vec<u8> {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let connection = match after {
        After::GoOn => "keep-alive",
        After::Close => "close",
    };
    format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{more}Connection: {connection}\r\n\r\n{body}",
        reason.unwrap_or("Refused"),
        body.len(),
    )
    .into_bytes()
}

/// One document takes the NSM tens of milliseconds: strangers get about a third of its time.
const EVERY: Duration = Duration::from_millis(100);

/// Callers that come at once, after a quiet time.
const BURST: u32 = 20;

/// Callers that wait for the device at a time; so many stand before a session's renewal at worst.
const LINE: usize = 4;
