//! Saying yes to what waits, and taking it back.

use super::{Ask, Outcome, hands::hands, lock::PolicyChange, measurement, workload};
use crate::{
    config::MeasurementState,
    store::{
        ChangeError, MeasurementRow, Origin, Standing,
        decide::may_approve,
        sql::{connection::Failure, rows},
        texts::rules_text,
    },
};

/// Counts one yes, and tells whether they are enough.
///
/// The number is the one asked for now. At least one: what waits was written by
/// somebody, and that somebody alone is not enough, whatever the number has become.
async fn count(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    (workload, measurement): (&str, &str),
    revision: u64,
    approvers: usize,
) -> Result<Standing, Failure> {
    let subject = ask.actor.subject.as_str();
    let values = [workload.into(), measurement.into(), revision.into(), subject.into(), change.now.into()];
    change.transaction.execute(APPROVE, &values).await?;
    let approvals = u32::try_from(approvers + 1).unwrap_or(u32::MAX);
    let needed = ask.approvals.max(1);
    Ok(if approvals >= needed { Standing::InForce } else { Standing::Waiting { approvals, needed } })
}

pub(super) async fn approve_measurement(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    workload: &str,
    name: &str,
) -> Result<Outcome, Failure> {
    let before = waiting_measurement(change, ask, workload, name).await?;
    let editor: Option<String> = match &before.pending {
        Some(pending) => Some(pending.author.clone()),
        None => editor(change, workload, name).await?,
    };
    // The author of a measurement that is active has nothing to do with a validity somebody else asks for.
    let author = before.author.as_deref().filter(|_| before.state == MeasurementState::Pending);
    check_person(change, ask, &[author, editor.as_deref()], &before.approvers).await?;
    let key = (workload, name);
    let standing = count(change, ask, key, before.revision, before.approvers.len()).await?;
    if standing != Standing::InForce {
        let revision = before.revision;
        measurement::say(change, ask, "measurement-approved", key, Some(before), None).await?;
        return Ok(Outcome { standing, ..Outcome::in_force(revision) });
    }
    if before.state == MeasurementState::Pending {
        // The world may have changed since it was proposed.
        measurement::check_place(change, workload, name, &before.pcrs).await?;
        let committed = change.raise().await?;
        let values = [workload.into(), name.into(), committed.epoch.into()];
        change.transaction.execute(ACTIVATE, &values).await?;
    } else {
        change.raise().await?;
        change.transaction.execute(EXTEND, &[workload.into(), name.into()]).await?;
    }
    carry_approvals(change, key, before.revision).await?;
    let revision = before.revision + 1;
    measurement::say(change, ask, "measurement-activated", key, Some(before), None).await?;
    Ok(Outcome::in_force(revision))
}

pub(super) async fn approve_rules(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    name: &str,
) -> Result<Outcome, Failure> {
    let before = rows::existing_workload(&mut change.transaction, name).await?;
    ask.check(|| format!("workload {name}"), Some(before.revision))?;
    let Some((rules, author, _)) = &before.pending else { return Err(nothing_waits(name, None)) };
    let approvers = rows::approvers(&mut change.transaction, name, "", before.revision).await?;
    check_person(change, ask, &[Some(author)], &approvers).await?;
    let standing = count(change, ask, (name, ""), before.revision, approvers.len()).await?;
    if standing != Standing::InForce {
        let revision = before.revision;
        workload::say(change, ask, "workload-approved", name, Some(before), None).await?;
        return Ok(Outcome { standing, ..Outcome::in_force(revision) });
    }
    let rules = rules_text(rules)?;
    let committed = change.raise().await?;
    let values = [name.into(), rules.as_str().into(), committed.epoch.into()];
    change.transaction.execute(ACTIVATE_RULES, &values).await?;
    carry_approvals(change, (name, ""), before.revision).await?;
    let revision = before.revision + 1;
    workload::say(change, ask, "workload-activated", name, Some(before), None).await?;
    Ok(Outcome::in_force(revision))
}

pub(super) async fn withdraw_measurement(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    workload: &str,
    name: &str,
) -> Result<Outcome, Failure> {
    let before = waiting_measurement(change, ask, workload, name).await?;
    let key = [workload.into(), name.into()];
    measurement::forget_approvals(change, workload, name).await?;
    let revision = if before.state == MeasurementState::Pending {
        change.transaction.execute(DELETE, &key).await?;
        None
    } else {
        change.transaction.execute(KEEP_VALIDITY, &key).await?;
        Some(before.revision + 1)
    };
    measurement::say(change, ask, "measurement-withdrawn", (workload, name), Some(before), None).await?;
    Ok(Outcome { revision, ..Outcome::in_force(0) })
}

pub(super) async fn withdraw_rules(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    name: &str,
) -> Result<Outcome, Failure> {
    let before = rows::existing_workload(&mut change.transaction, name).await?;
    ask.check(|| format!("workload {name}"), Some(before.revision))?;
    if before.pending.is_none() {
        return Err(nothing_waits(name, None));
    }
    let revision = before.revision + 1;
    change.transaction.execute(KEEP_RULES, &[name.into()]).await?;
    measurement::forget_approvals(change, name, "").await?;
    workload::say(change, ask, "workload-withdrawn", name, Some(before), None).await?;
    Ok(Outcome::in_force(revision))
}

/// Nobody approves what is theirs, nor twice: not with a token that they made either.
async fn check_person(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    authors: &[Option<&str>],
    approvers: &[String],
) -> Result<(), Failure> {
    let subject = ask.actor.subject.as_str();
    let others: Vec<&str> =
        authors.iter().copied().flatten().chain(approvers.iter().map(String::as_str)).collect();
    let hands = hands(change, subject, &others).await?;
    Ok(may_approve(subject, &hands, authors, approvers)?)
}

/// A measurement of which something waits.
async fn waiting_measurement(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    workload: &str,
    name: &str,
) -> Result<MeasurementRow, Failure> {
    let row = rows::existing_measurement(&mut change.transaction, workload, name).await?;
    ask.check(|| format!("measurement {workload}/{name}"), Some(row.revision))?;
    if row.origin == Origin::File {
        return Err(ChangeError::KeptByFile { what: format!("measurement {workload}/{name}") }.into());
    }
    if row.state != MeasurementState::Pending && row.pending.is_none() {
        return Err(nothing_waits(workload, Some(name)));
    }
    Ok(row)
}

/// Who edited a pending measurement last.
async fn editor(change: &mut PolicyChange, workload: &str, name: &str) -> Result<Option<String>, Failure> {
    let row = change.transaction.fetch_one(EDITOR, &[workload.into(), name.into()]).await?;
    Ok(row.get(0)?)
}

/// What was approved in one revision stays on record for the one it became.
async fn carry_approvals(
    change: &mut PolicyChange,
    (workload, measurement): (&str, &str),
    revision: u64,
) -> Result<(), sqlx::Error> {
    let values = [workload.into(), measurement.into(), revision.into()];
    change.transaction.execute(CARRY, &values).await.map(drop)
}

fn nothing_waits(workload: &str, measurement: Option<&str>) -> Failure {
    let what = match measurement {
        Some(name) => format!("measurement {workload}/{name}"),
        None => format!("workload {workload}"),
    };
    ChangeError::NothingWaits { what }.into()
}

const APPROVE: &str = "
INSERT INTO approval (workload, measurement, revision, approver, at_ms) VALUES ($1, $2, $3, $4, $5)";

const ACTIVATE: &str = "
UPDATE measurement SET state = 'active', epoch = $3, revision = revision + 1, pending_author = NULL
WHERE workload = $1 AND name = $2";

const EXTEND: &str = "
UPDATE measurement SET not_before_ms = pending_not_before_ms, expires_ms = pending_expires_ms,
       pending_not_before_ms = NULL, pending_expires_ms = NULL, pending_author = NULL, revision = revision + 1
WHERE workload = $1 AND name = $2";

const ACTIVATE_RULES: &str = "
UPDATE workload SET rules = $2, epoch = $3, pending_rules = NULL, pending_author = NULL, revision = revision + 1
WHERE name = $1";

const CARRY: &str = "
UPDATE approval SET revision = revision + 1 WHERE workload = $1 AND measurement = $2 AND revision = $3";

const DELETE: &str = "DELETE FROM measurement WHERE workload = $1 AND name = $2";

const KEEP_VALIDITY: &str = "
UPDATE measurement SET pending_not_before_ms = NULL, pending_expires_ms = NULL, pending_author = NULL,
       revision = revision + 1
WHERE workload = $1 AND name = $2";

const KEEP_RULES: &str = "
UPDATE workload SET pending_rules = NULL, pending_author = NULL, revision = revision + 1 WHERE name = $1";

const EDITOR: &str = "SELECT pending_author FROM measurement WHERE workload = $1 AND name = $2";
