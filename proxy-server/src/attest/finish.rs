//! What can still fail once a session stands in the registry.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{SHA256, digest};
use countersign_protocol::ProblemCode;
use countersign_telemetry::{Kind, Status};
use countersign_verifier::Evidence;
use time::OffsetDateTime;

use super::{
    admission::Admitter,
    judgement::{appraise, revoked},
    told::{Asked, word},
};
use crate::{
    ca::{ClientKey, SessionCertificate},
    log::Chain,
    policy::{Admitting, Policy, is_narrower},
    refusal::Refused,
    session::{EndReason, Renewal},
    store::{AuditEvent, JournalError, SessionRow, UnixMs},
};

impl Admitter {
    /// The certificate and the audit row; nothing is granted without either.
    #[allow(clippy::too_many_arguments)]
    pub(super) async fn finish(
        &self,
        policy: &Arc<Policy>,
        evidence: &Evidence<'_>,
        document: &[u8],
        admitting: &Admitting,
        key: &ClientKey,
        row: SessionRow,
        renewed: Renewal,
        request: &Asked<'_>,
    ) -> Result<Vec<Vec<u8>>, Unfinished> {
        // The watcher first puts a policy in force and then ends sessions. Either it
        // saw this session, or the policy it put in force is seen here.
        let latest = self.parts.policy.current();
        if !Arc::ptr_eq(policy, &latest) {
            still_admits(&latest, evidence, admitting)?;
        }
        let wall =
            OffsetDateTime::from(SystemTime::UNIX_EPOCH + Duration::from_millis(row.lease_ends.as_millis()));
        let certificate = SessionCertificate {
            key,
            deployment: &self.parts.deployment,
            workload: &admitting.workload.name,
            session: row.id,
            not_after: wall,
        };
        let issued = self
            .parts
            .ca
            .issue(&certificate, wall - row.lease.duration())
            .map_err(|error| Refused::because(ProblemCode::Internal, "try again", Chain(&error)))?;
        let event = AuditEvent {
            at: UnixMs::now(),
            kind: "admission".into(),
            code: word(renewed).into(),
            epoch: policy.epoch,
            workload: Some(row.workload.clone()),
            measurement: Some(row.measurement.clone()),
            session: Some(row.id),
            request_id: Some(request.id.to_owned()),
            actor: None,
            before: None,
            after: None,
            evidence: Some(sha256(document)),
            detail: Some(evidence.module_id().to_owned()),
        };
        let span = request.span.child(&self.parts.tracer, "store", Kind::Internal);
        let recorded = self.parts.journal.record(event, row).await;
        let recorded = recorded.map_err(|error| match error {
            JournalError::Revoked => Unfinished::over(
                EndReason::MeasurementRevoked,
                revoked("the measurement was revoked while the enclave attested"),
            ),
            JournalError::Ended => Unfinished::over(
                EndReason::EndedByAdmin,
                Refused::new(ProblemCode::SessionEnded, "somebody ended the session: attest again"),
            ),
            error => {
                Refused::because(ProblemCode::Internal, "the admission was not recorded: try again", error)
                    .into()
            }
        });
        match &recorded {
            Ok(_) => span.end(Status::Unset),
            Err(Unfinished { refused, .. }) => span.fail(refused.code()),
        }
        recorded?;
        Ok(issued.into_iter().map(|certificate| certificate.to_vec()).collect())
    }
}

/// Why an admission that stands in the registry is not answered.
pub(super) struct Unfinished {
    pub(super) refused: Refused,
    /// Why the session is over even if it stood before.
    pub(super) over: Option<EndReason>,
}

impl Unfinished {
    fn over(reason: EndReason, refused: Refused) -> Self {
        Self { refused, over: Some(reason) }
    }
}

impl From<Refused> for Unfinished {
    fn from(refused: Refused) -> Self {
        Self { refused, over: None }
    }
}

/// Whether a newer policy admits what an older one did, and allows it no less.
fn still_admits(latest: &Policy, evidence: &Evidence<'_>, admitting: &Admitting) -> Result<(), Unfinished> {
    let gone = EndReason::MeasurementRevoked;
    let now = appraise(latest, evidence).map_err(|refused| match refused.code() == gone.as_str() {
        true => Unfinished::over(gone, refused),
        false => refused.into(),
    })?;
    if now.epoch != admitting.epoch {
        return Err(Unfinished::over(gone, revoked("the measurement changed while the enclave attested")));
    }
    if is_narrower(&admitting.workload, &now.workload) {
        let detail = "the workload's rules changed while the enclave attested: attest again";
        return Err(Unfinished::over(
            EndReason::RulesChanged,
            Refused::new(ProblemCode::SessionEnded, detail),
        ));
    }
    Ok(())
}

fn sha256(document: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, document).as_ref());
    hash
}
