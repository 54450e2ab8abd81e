//! What is told of each decision: a line, a span, and for refusals a row.

use countersign_telemetry::{Span, Status, names};

use super::{
    admission::{Admitted, Admitter},
    connection::Connection,
};
use crate::{
    log::{Sample, Sampler},
    policy::Policy,
    refusal::Refused,
    session::Renewal,
    store::{AuditEvent, UnixMs},
    telemetry::{RecentRefusal, trace},
};

/// How much was told lately, so that nobody's refusals fill the log or the audit.
pub(super) struct Told {
    lines: Sampler,
    rows: Sampler,
}

impl Told {
    pub(super) fn new() -> Self {
        Self { lines: Sampler::new(LINES_PER_SECOND), rows: Sampler::new(ROWS_PER_SECOND) }
    }
}

impl Admitter {
    /// An audit row for a refusal of somebody who answered the challenge rightly;
    /// so many a second of each code, and nobody waits for it.
    pub(super) fn note(&self, policy: &Policy, refused: &Refused, now: UnixMs, request_id: &str) {
        self.parts.metrics.note(RecentRefusal {
            at: now,
            code: refused.code(),
            detail: refused.to_string(),
            request_id: request_id.to_owned(),
        });
        if self.told.rows.take(refused.code()) == Sample::Suppress {
            return;
        }
        self.parts.journal.note(AuditEvent {
            at: now,
            kind: "refusal".into(),
            code: refused.code().into(),
            epoch: policy.epoch,
            workload: None,
            measurement: None,
            session: None,
            request_id: Some(request_id.to_owned()),
            actor: None,
            before: None,
            after: None,
            evidence: None,
            detail: Some(refused.to_string()),
        });
    }

    pub(super) fn log_admission(&self, connection: &Connection, admitted: &Admitted, request: &Asked<'_>) {
        let code = word(admitted.renewed);
        let Sample::Write { suppressed } = self.told.lines.take(code) else { return };
        let Admitted { workload, measurement, grant, .. } = admitted;
        let (trace_id, span_id) = trace::fields(&request.span);
        tracing::info!(
            code,
            suppressed,
            session = %grant.session,
            workload,
            measurement = %measurement,
            lease_seconds = grant.lease.as_secs(),
            epoch = grant.epoch.0,
            peer = %connection.peer,
            request_id = request.id,
            trace_id,
            span_id,
            "admitted"
        );
    }

    /// A request that was refused before anything was decided.
    pub(super) fn turn_away(&self, connection: &Connection, refused: &Refused, request_id: &str) {
        self.parts.metrics.turned_away(refused.code());
        self.log_refusal(connection, refused, &Asked { id: request_id, span: Span::none() });
    }

    pub(super) fn log_refusal(&self, connection: &Connection, refused: &Refused, request: &Asked<'_>) {
        let code = refused.code();
        let Sample::Write { suppressed } = self.told.lines.take(code) else { return };
        let (trace_id, span_id) = trace::fields(&request.span);
        tracing::warn!(
            code,
            suppressed,
            peer = %connection.peer,
            request_id = request.id,
            trace_id,
            span_id,
            reason = %refused,
            "attestation refused"
        );
    }
}

/// Which request this is about, for whoever reads of it later.
pub(super) struct Asked<'r> {
    pub(super) id: &'r str,
    pub(super) span: Span,
}

impl Asked<'_> {
    pub(super) fn ended(self, decided: &Result<Admitted, Refused>) {
        let Self { id: _, mut span } = self;
        match decided {
            Ok(Admitted { workload, measurement, grant, renewed }) => {
                span.set(names::DECISION, word(*renewed));
                span.set_with(names::SESSION, || grant.session.to_string().into());
                span.set_with(names::WORKLOAD, || workload.clone().into());
                span.set_with(names::MEASUREMENT, || measurement.to_string().into());
                span.end(Status::Unset);
            }
            Err(refused) => {
                span.set(names::DECISION, "refused");
                span.fail(refused.code());
            }
        }
    }
}

/// A step of it is over.
pub(super) fn step<T>(span: Span, done: &Result<T, Refused>) {
    match done {
        Ok(_) => span.end(Status::Unset),
        Err(refused) => span.fail(refused.code()),
    }
}

/// The decision in one word.
pub(super) fn word(renewed: Renewal) -> &'static str {
    match renewed {
        Renewal::New => "admitted",
        Renewal::Renewed => "renewed",
    }
}

/// Log lines of each code.
const LINES_PER_SECOND: u32 = 100;

/// Audit rows of refusals, of each code. Admissions are always written.
const ROWS_PER_SECOND: u32 = 50;
