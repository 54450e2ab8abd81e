//! Measurements: new ones, and what people read of them.

use countersign_verifier::{PcrIndex, PcrSet};

use super::{
    Ask, Outcome,
    lock::{PolicyChange, Said},
};
use crate::{
    config::MeasurementState,
    store::{
        ChangeError, MeasurementEdit, MeasurementRow, NewMeasurement, Origin, Standing, UnixMs,
        decide::{self, Validity, check_edit, check_new, covers},
        sql::{connection::Failure, policy::buried_name, replicas::impact, rows},
        texts::{measurement_json, pcrs, pcrs_text},
    },
};

pub(super) async fn add(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    workload: &str,
    new: &NewMeasurement,
) -> Result<Outcome, Failure> {
    let NewMeasurement { name, pcrs, edit } = new;
    let what = || format!("measurement {workload}/{name}");
    let warnings = check_new(new, change.now)?;
    if rows::existing_workload(&mut change.transaction, workload).await?.revoked {
        return Err(ChangeError::AlreadyRevoked { what: format!("workload {workload}") }.into());
    }
    let before = rows::measurement(&mut change.transaction, workload, name).await?;
    check_place(change, workload, name, pcrs).await?;
    if let Some(row) = &before
        && !name_is_free(change, row).await?
    {
        return Err(ChangeError::Exists { what: what() }.into());
    }
    if before.is_none() {
        bounded(change).await?;
    }
    let state = if ask.approvals > 0 { MeasurementState::Pending } else { MeasurementState::Active };
    if state == MeasurementState::Active {
        change.raise().await?;
    }
    let revision = before.as_ref().map_or(1, |row| row.revision + 1);
    let (labels, pcrs) = (labels_text(edit), pcrs_text(pcrs));
    let values = [
        workload.into(),
        name.into(),
        (&edit.version).into(),
        labels.as_str().into(),
        pcrs.as_str().into(),
        state.as_str().into(),
        edit.not_before.into(),
        edit.expires.into(),
        ask.actor.subject.as_str().into(),
        change.now.into(),
        revision.into(),
        change.committed.epoch.into(),
    ];
    change.transaction.execute(ADD, &values).await?;
    forget_approvals(change, workload, name).await?;
    let (code, standing) = match ask.approvals {
        0 => ("measurement-added", Standing::InForce),
        needed => ("measurement-proposed", Standing::Waiting { approvals: 0, needed }),
    };
    say(change, ask, code, (workload, name), before, None).await?;
    Ok(Outcome { standing, warnings, ..Outcome::in_force(revision) })
}

pub(super) async fn edit(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    workload: &str,
    name: &str,
    edit: &MeasurementEdit,
) -> Result<Outcome, Failure> {
    let what = || format!("measurement {workload}/{name}");
    let before = rows::existing_measurement(&mut change.transaction, workload, name).await?;
    ask.check(what, Some(before.revision))?;
    if before.state == MeasurementState::Revoked {
        return Err(ChangeError::AlreadyRevoked { what: what() }.into());
    }
    if before.origin == Origin::File {
        return Err(ChangeError::KeptByFile { what: what() }.into());
    }
    // What has expired may keep its date when its labels change.
    check_edit(edit, if edit.expires == before.expires { UnixMs(i64::MIN) } else { change.now })?;
    let present = Validity { not_before: before.not_before, expires: before.expires };
    let wanted = Validity { not_before: edit.not_before, expires: edit.expires };
    let active = before.state == MeasurementState::Active;
    let waits = active && ask.approvals > 0 && present.meet(wanted) != wanted;
    let in_force = if waits { present.meet(wanted) } else { wanted };
    let asked_before =
        before.pending.as_ref().map(|p| Validity { not_before: p.not_before, expires: p.expires });
    let same_words = before.version == edit.version && before.labels == edit.labels;
    let standing = |approvals| match waits {
        true => Standing::Waiting { approvals, needed: ask.approvals },
        false => Standing::InForce,
    };
    if same_words && in_force == present && asked_before == waits.then_some(wanted) {
        let approvals = u32::try_from(before.approvers.len()).unwrap_or(u32::MAX);
        return Ok(Outcome { standing: standing(approvals), ..Outcome::in_force(before.revision) });
    }
    if active && in_force != present {
        change.raise().await?;
    }
    let mut outcome = Outcome { standing: standing(0), ..Outcome::in_force(before.revision + 1) };
    let admits = |validity: Validity| {
        validity.not_before.is_none_or(|from| from <= change.now)
            && validity.expires.is_none_or(|to| change.now < to)
    };
    if active && admits(present) && !admits(in_force) {
        outcome.impact = impact(change, &[(workload.to_owned(), Some(name.to_owned()))]).await?;
    }
    let labels = labels_text(edit);
    let pending = waits.then_some(wanted);
    // Of what is pending as a whole, the editor is an author too.
    let author = if waits || !active { Some(ask.actor.subject.as_str()) } else { None };
    let values = [
        workload.into(),
        name.into(),
        (&edit.version).into(),
        labels.as_str().into(),
        in_force.not_before.into(),
        in_force.expires.into(),
        pending.and_then(|validity| validity.not_before).into(),
        pending.and_then(|validity| validity.expires).into(),
        author.into(),
    ];
    change.transaction.execute(EDIT, &values).await?;
    forget_approvals(change, workload, name).await?;
    say(change, ask, "measurement-edited", (workload, name), Some(before), None).await?;
    Ok(outcome)
}

/// Whether PCRs may stand where they are to stand, beside everything else.
pub(super) async fn check_place(
    change: &mut PolicyChange,
    workload: &str,
    name: &str,
    set: &PcrSet,
) -> Result<(), Failure> {
    // Two sets that one enclave can match have the same PCR0, and every text begins with it.
    let pcr0 = set.get(PcrIndex::PCR0).map(ToString::to_string).unwrap_or_default();
    let (from, to) = (format!("0={pcr0}"), format!("0={pcr0}-"));
    let range = [from.as_str().into(), to.as_str().into()];
    let mut standing = Vec::new();
    for row in change.transaction.fetch_all(STANDING, &range).await? {
        let (other, other_name): (String, String) = (row.get(0)?, row.get(1)?);
        if (other.as_str(), other_name.as_str()) != (workload, name) {
            let pcrs = pcrs(row.get(2)?, &other_name)?;
            standing.push(decide::Standing { workload: other, name: other_name, pcrs });
        }
    }
    let buried = buried(change, &from, &to).await?;
    Ok(decide::place(workload, set, &standing, &buried)?)
}

/// A revoked measurement's name stays taken as long as its tombstone stands: one
/// name must not mean a revoked image and another one.
async fn name_is_free(change: &mut PolicyChange, row: &MeasurementRow) -> Result<bool, Failure> {
    if row.state != MeasurementState::Revoked {
        return Ok(false);
    }
    let pcr0 = row.pcrs.get(PcrIndex::PCR0).map(ToString::to_string).unwrap_or_default();
    let buried = buried(change, &format!("0={pcr0}"), &format!("0={pcr0}-")).await?;
    Ok(!buried.iter().any(|(revoked, _)| covers(revoked, &row.pcrs)))
}

/// Tombstones with a PCR0, or with none.
async fn buried(change: &mut PolicyChange, from: &str, to: &str) -> Result<Vec<(PcrSet, String)>, Failure> {
    let rows = change.transaction.fetch_all(BURIED, &[from.into(), to.into()]).await?;
    let read = |row: &crate::store::sql::connection::Row| {
        let name = buried_name(row.get(1)?, row.get(2)?);
        Ok((pcrs(row.get(0)?, &name)?, name))
    };
    rows.iter().map(read).collect()
}

async fn bounded(change: &mut PolicyChange) -> Result<(), Failure> {
    let count = change.transaction.fetch_one("SELECT count(*) FROM measurement", &[]).await?.count(0)?;
    if count < MOST_MEASUREMENTS {
        return Ok(());
    }
    Err(ChangeError::TooMany { what: "measurements", limit: MOST_MEASUREMENTS }.into())
}

pub(super) async fn forget_approvals(
    change: &mut PolicyChange,
    workload: &str,
    name: &str,
) -> Result<(), sqlx::Error> {
    change.transaction.execute(FORGET_APPROVALS, &[workload.into(), name.into()]).await.map(drop)
}

/// The audit row of a change of a measurement, with the row as it is now.
pub(super) async fn say(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    code: &'static str,
    (workload, name): (&str, &str),
    before: Option<MeasurementRow>,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let after = rows::measurement(&mut change.transaction, workload, name).await?;
    let said = Said {
        kind: "policy",
        code,
        workload: Some(workload),
        measurement: Some(name),
        before: before.as_ref().map(measurement_json),
        after: after.as_ref().map(measurement_json),
        detail: reason.map(str::to_owned),
        ..Said::default()
    };
    change.say(Some(ask.actor), said).await
}

fn labels_text(edit: &MeasurementEdit) -> String {
    serde_json::json!(edit.labels).to_string()
}

/// The most measurements, revoked ones too.
const MOST_MEASUREMENTS: u64 = 100_000;

const ADD: &str = "
INSERT INTO measurement (workload, name, origin, version, labels, pcrs, state, not_before_ms, expires_ms, author,
                         created_ms, revision, epoch)
VALUES ($1, $2, 'api', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (workload, name) DO UPDATE SET
    origin = 'api', version = excluded.version, labels = excluded.labels, pcrs = excluded.pcrs,
    state = excluded.state, not_before_ms = excluded.not_before_ms, expires_ms = excluded.expires_ms,
    author = excluded.author, created_ms = excluded.created_ms, revision = excluded.revision,
    epoch = excluded.epoch";

const EDIT: &str = "
UPDATE measurement SET version = $3, labels = $4, not_before_ms = $5, expires_ms = $6,
       pending_not_before_ms = $7, pending_expires_ms = $8, pending_author = $9, revision = revision + 1
WHERE workload = $1 AND name = $2";

const FORGET_APPROVALS: &str = "DELETE FROM approval WHERE workload = $1 AND measurement = $2";

const STANDING: &str = "
SELECT m.workload, m.name, m.pcrs FROM measurement m JOIN workload w ON w.name = m.workload
WHERE m.pcrs >= $1 AND m.pcrs < $2 AND m.state <> 'revoked' AND w.state = 'active'";

const BURIED: &str = "
SELECT pcrs, workload, measurement FROM tombstone
WHERE (pcrs >= $1 AND pcrs < $2) OR pcrs < '0=' OR pcrs >= '0>'";
