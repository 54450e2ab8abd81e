use crate::{
    policy::PolicyHandle,
    session::{SessionEnd, Sessions},
    store::{AuditEvent, Journal, UnixMs},
    telemetry::EndMetrics,
};

/// From now on each end of a session is counted and leaves its row in the audit.
pub(super) fn audit_ends(sessions: &Sessions, journal: &Journal, policy: &PolicyHandle, metrics: EndMetrics) {
    // The registry lives as long as the last connection, the writer must not.
    let journal = journal.weak();
    let policy = policy.clone();
    sessions.witness_ends(move |ends| {
        metrics.told(&ends);
        let (at, epoch) = (UnixMs::now(), policy.epoch());
        let row = |end: SessionEnd| AuditEvent {
            at,
            kind: "end".into(),
            code: end.reason.as_str().into(),
            epoch,
            workload: Some(end.workload.name.to_string()),
            measurement: Some(end.measurement.to_string()),
            session: Some(end.id),
            request_id: None,
            actor: None,
            before: None,
            after: None,
            evidence: None,
            detail: Some(format!("{} tunnels were cut", end.tunnels)),
        };
        journal.note_all(ends.into_iter().map(row).collect());
    });
}
