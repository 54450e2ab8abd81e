//! One policy change, whole or not at all.
//!
//! ```text
//!   lock ► asked before? ► read what it needs ► decide ► epoch + 1 ► rows, sessions ► audit ► checkpoint ► commit
//! ```

mod approval;
mod hands;
mod idempotency;
pub(super) mod lock;
mod measurement;
mod restored;
mod revocation;
mod workload;

use lock::PolicyChange;

use super::{SqlStore, connection::Failure};
use crate::store::{
    Actor, Change, ChangeError, ChangeRequest, Changed, Impact, MOST_APPROVALS, Mode, Precondition, Standing,
    decide::invalid,
};

/// Who asks for a change, and under which conditions.
struct Ask<'a> {
    actor: &'a Actor,
    precondition: Precondition,
    /// How many must agree to what allows more.
    approvals: u32,
}

/// What came of a change.
struct Outcome {
    revision: Option<u64>,
    standing: Standing,
    impact: Impact,
    warnings: Vec<String>,
}

impl SqlStore {
    pub(super) async fn make_change(&self, request: ChangeRequest) -> Result<Changed, Failure> {
        let ChangeRequest { change: what, actor, precondition, mode, approvals, idempotency, now } = request;
        if approvals > MOST_APPROVALS {
            return Err(invalid("approvals", format!("more than {MOST_APPROVALS} are asked for")).into());
        }
        let mut change = PolicyChange::begin(self, now).await?;
        let present = change.committed;
        // A dry run is not the request itself: it neither uses up a key nor is answered by one.
        let idempotency = idempotency.filter(|_| mode == Mode::Commit);
        if let Some(key) = &idempotency
            && let Some(changed) = idempotency::recorded(&mut change, &actor, key).await?
        {
            return Ok(changed);
        }
        let ask = Ask { actor: &actor, precondition, approvals };
        let Outcome { revision, standing, impact, warnings } = decide(&mut change, &ask, &what).await?;
        let mut changed =
            Changed { committed: change.committed, revision, standing, impact, warnings, replayed: false };
        match mode {
            Mode::DryRun => {
                change.transaction.rollback().await?;
                changed.committed = present;
            }
            Mode::Commit => {
                if let Some(key) = &idempotency {
                    idempotency::record(&mut change, &actor, key, &changed).await?;
                }
                self.sign_policy_chain(&mut change).await?;
                change.commit().await?;
            }
        }
        Ok(changed)
    }
}

async fn decide(change: &mut PolicyChange, ask: &Ask<'_>, what: &Change) -> Result<Outcome, Failure> {
    match what {
        Change::PutWorkload { workload, description } => {
            workload::put(change, ask, workload, description.as_deref()).await
        }
        Change::RevokeWorkload { workload, reason } => {
            workload::revoke(change, ask, workload.as_str(), reason.as_deref()).await
        }
        Change::AddMeasurement { workload, measurement } => {
            measurement::add(change, ask, workload.as_str(), measurement).await
        }
        Change::EditMeasurement { workload, name, edit } => {
            measurement::edit(change, ask, workload.as_str(), name, edit).await
        }
        Change::Approve { workload, measurement: Some(name) } => {
            approval::approve_measurement(change, ask, workload.as_str(), name).await
        }
        Change::Approve { workload, measurement: None } => {
            approval::approve_rules(change, ask, workload.as_str()).await
        }
        Change::Withdraw { workload, measurement: Some(name) } => {
            approval::withdraw_measurement(change, ask, workload.as_str(), name).await
        }
        Change::Withdraw { workload, measurement: None } => {
            approval::withdraw_rules(change, ask, workload.as_str()).await
        }
        Change::RevokeMeasurement { workload, name, reason } => {
            revocation::measurement(change, ask, workload.as_str(), name, reason.as_deref()).await
        }
        Change::RevokePcrs { pcrs, reason } => revocation::pcrs(change, ask, pcrs, reason.as_deref()).await,
        Change::LiftTombstone { pcrs, reason } => {
            revocation::lift(change, ask, pcrs, reason.as_deref()).await
        }
        Change::EndSession { session, reason } => {
            revocation::session(change, ask, *session, reason.as_deref()).await
        }
    }
}

impl Ask<'_> {
    /// Whether the row is what the caller thinks it is. `revision`: `None` when there is no row.
    fn check(&self, what: impl FnOnce() -> String, revision: Option<u64>) -> Result<(), ChangeError> {
        match (self.precondition, revision) {
            (Precondition::None, _) | (Precondition::Absent, None) => Ok(()),
            (Precondition::Absent, Some(_)) => Err(ChangeError::Exists { what: what() }),
            (Precondition::Revision(_), None) => {
                Err(ChangeError::NotFound { what: what(), known: Vec::new() })
            }
            (Precondition::Revision(expected), Some(actual)) if expected == actual => Ok(()),
            (Precondition::Revision(expected), Some(actual)) => {
                Err(ChangeError::Revision { what: what(), expected, actual })
            }
        }
    }

    fn names_revision(&self) -> bool {
        matches!(self.precondition, Precondition::Revision(_))
    }
}

impl Outcome {
    /// It is in force, and ended nothing.
    fn in_force(revision: u64) -> Self {
        Self {
            revision: Some(revision),
            standing: Standing::InForce,
            impact: Impact::default(),
            warnings: Vec::new(),
        }
    }
}
