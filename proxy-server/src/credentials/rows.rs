//! What the audit keeps.

use countersign_protocol::{Epoch, SessionId};

use super::{Assumption, Issued};
use crate::{
    refusal::Refused,
    store::{AuditEvent, UnixMs},
};

/// Credentials that were issued: to whom, of which role, until when. The access key id is no secret, and CloudTrail has
/// it too.
pub(super) fn issued(assumption: &Assumption, issued: &Issued, epoch: Epoch, request_id: &str) -> AuditEvent {
    let Assumption { role, session, workload, measurement, .. } = assumption;
    let expires = issued.message().expires.saturating_mul(1000);
    let expires = UnixMs(i64::try_from(expires).unwrap_or(i64::MAX));
    AuditEvent {
        workload: Some(workload.to_string()),
        measurement: Some(measurement.to_string()),
        detail: Some(format!("{} of {}, until {expires}", issued.access_key_id(), role.arn)),
        ..event("credentials", "issued", epoch, *session, request_id)
    }
}

/// A session that was given none, and why.
pub(super) fn refused(refused: &Refused, session: SessionId, epoch: Epoch, request_id: &str) -> AuditEvent {
    let detail = Some(format!("no AWS credentials: {refused}"));
    AuditEvent { detail, ..event("refusal", refused.code(), epoch, session, request_id) }
}

fn event(
    kind: &'static str,
    code: &'static str,
    epoch: Epoch,
    session: SessionId,
    request_id: &str,
) -> AuditEvent {
    AuditEvent {
        at: UnixMs::now(),
        kind: kind.into(),
        code: code.into(),
        epoch,
        workload: None,
        measurement: None,
        session: Some(session),
        request_id: Some(request_id.to_owned()),
        actor: None,
        before: None,
        after: None,
        evidence: None,
        detail: None,
    }
}
