//! Workloads: new rules, and the end of one.

use super::{
    Ask, Outcome,
    lock::{PolicyChange, Said},
};
use crate::{
    policy::{Workload, is_narrower},
    store::{
        ChangeError, Impact, Origin, Standing, WorkloadRow,
        decide::{allows_more, invalid, meet, nothing_allowed},
        sql::{connection::Failure, policy::forget_sessions, replicas::impact, rows},
        texts::{rules_text, workload_json},
    },
};

pub(super) async fn put(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    wanted: &Workload,
    description: Option<&str>,
) -> Result<Outcome, Failure> {
    let name = wanted.name.as_str();
    let what = || format!("workload {name}");
    if description.is_some_and(|text| text.len() > LONGEST_DESCRIPTION) {
        return Err(invalid("description", format!("it has more than {LONGEST_DESCRIPTION} bytes")).into());
    }
    let before = rows::workload(&mut change.transaction, name).await?;
    let stands = before.as_ref().filter(|row| !row.revoked);
    // One that was revoked can be made again; whoever names a revision means the row, whatever its state.
    let revision = stands.or(before.as_ref().filter(|_| ask.names_revision())).map(|row| row.revision);
    ask.check(what, revision)?;
    if stands.is_some_and(|row| row.origin == Origin::File) {
        return Err(ChangeError::KeptByFile { what: what() }.into());
    }
    if before.is_none() {
        bounded(change).await?;
    }
    let base = stands.map_or_else(|| nothing_allowed(wanted), |row| row.workload.clone());
    let waits = ask.approvals > 0 && allows_more(&base, wanted);
    let in_force = if waits { meet(&base, wanted) } else { wanted.clone() };
    let rules = rules_text(&in_force)?;
    let pending = if waits { Some(rules_text(wanted)?) } else { None };
    if let Some(row) = stands
        && let Some(outcome) = unchanged(row, &rules, pending.as_deref(), description, ask)?
    {
        return Ok(outcome);
    }
    let decides = match stands {
        Some(row) => rules_text(&row.workload)? != rules,
        None => true,
    };
    if decides {
        change.raise().await?;
    }
    let mut ended = Impact::default();
    if let Some(row) = stands.filter(|row| is_narrower(&row.workload, &in_force)) {
        ended = impact(change, &[(row.workload.name.to_string(), None)]).await?;
        forget_sessions(change, name, None).await?;
    }
    let revision = before.as_ref().map_or(1, |row| row.revision + 1);
    let epoch = match stands {
        Some(row) if !decides => row.epoch,
        _ => change.committed.epoch,
    };
    let author = pending.as_ref().map(|_| ask.actor.subject.as_str());
    let values = [
        name.into(),
        description.into(),
        rules.as_str().into(),
        (&pending).into(),
        author.into(),
        revision.into(),
        epoch.into(),
    ];
    change.transaction.execute(PUT, &values).await?;
    change.transaction.execute(FORGET_APPROVALS, &[name.into()]).await?;
    say(change, ask, if waits { "workload-proposed" } else { "workload-put" }, name, before, None).await?;
    let standing =
        if waits { Standing::Waiting { approvals: 0, needed: ask.approvals } } else { Standing::InForce };
    Ok(Outcome { revision: Some(revision), standing, impact: ended, warnings: Vec::new() })
}

pub(super) async fn revoke(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    name: &str,
    reason: Option<&str>,
) -> Result<Outcome, Failure> {
    let what = || format!("workload {name}");
    let before = rows::existing_workload(&mut change.transaction, name).await?;
    ask.check(what, Some(before.revision))?;
    if before.revoked {
        return Err(ChangeError::AlreadyRevoked { what: what() }.into());
    }
    let ended = impact(change, &[(name.to_owned(), None)]).await?;
    let committed = change.raise().await?;
    forget_sessions(change, name, None).await?;
    let values = [name.into(), ask.actor.subject.as_str().into(), reason.into(), committed.epoch.into()];
    change.transaction.execute(REVOKE, &values).await?;
    change.transaction.execute(REVOKE_MEASUREMENTS, &[name.into(), committed.epoch.into()]).await?;
    change.transaction.execute(FORGET_APPROVALS, &[name.into()]).await?;
    let revision = before.revision + 1;
    say(change, ask, "workload-revoked", name, Some(before), reason).await?;
    Ok(Outcome { impact: ended, ..Outcome::in_force(revision) })
}

/// The same rules put again are no change: a revision in somebody's hand stays good.
fn unchanged(
    row: &WorkloadRow,
    rules: &str,
    pending: Option<&str>,
    description: Option<&str>,
    ask: &Ask<'_>,
) -> Result<Option<Outcome>, Failure> {
    let standing_rules = rules_text(&row.workload)?;
    let waiting = row.pending.as_ref().map(|(rules, ..)| rules_text(rules)).transpose()?;
    if standing_rules != rules || waiting.as_deref() != pending || row.description.as_deref() != description {
        return Ok(None);
    }
    let standing = match row.pending {
        Some((_, _, approvals)) => Standing::Waiting { approvals, needed: ask.approvals },
        None => Standing::InForce,
    };
    Ok(Some(Outcome { standing, ..Outcome::in_force(row.revision) }))
}

async fn bounded(change: &mut PolicyChange) -> Result<(), Failure> {
    let count = change.transaction.fetch_one("SELECT count(*) FROM workload", &[]).await?.count(0)?;
    if count < MOST_WORKLOADS {
        return Ok(());
    }
    Err(ChangeError::TooMany { what: "workloads", limit: MOST_WORKLOADS }.into())
}

/// The audit row of a change of a workload, with the row as it is now.
pub(super) async fn say(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    code: &'static str,
    name: &str,
    before: Option<WorkloadRow>,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let after = rows::workload(&mut change.transaction, name).await?;
    let said = Said {
        kind: "policy",
        code,
        workload: Some(name),
        before: before.as_ref().map(workload_json),
        after: after.as_ref().map(workload_json),
        detail: reason.map(str::to_owned),
        ..Said::default()
    };
    change.say(Some(ask.actor), said).await
}

/// The longest description, in bytes.
const LONGEST_DESCRIPTION: usize = 1024;

/// The most workloads, revoked ones too.
const MOST_WORKLOADS: u64 = 10_000;

const PUT: &str = "
INSERT INTO workload (name, origin, state, description, rules, pending_rules, pending_author, revision, epoch)
VALUES ($1, 'api', 'active', $2, $3, $4, $5, $6, $7)
ON CONFLICT (name) DO UPDATE SET
    origin = 'api', state = 'active', description = excluded.description, rules = excluded.rules,
    pending_rules = excluded.pending_rules, pending_author = excluded.pending_author,
    revoked_by = NULL, reason = NULL, revision = excluded.revision, epoch = excluded.epoch";

const FORGET_APPROVALS: &str = "DELETE FROM approval WHERE workload = $1 AND measurement = ''";

const REVOKE: &str = "
UPDATE workload SET state = 'revoked', revoked_by = $2, reason = $3, epoch = $4, revision = revision + 1,
       pending_rules = NULL, pending_author = NULL
WHERE name = $1";

/// Without tombstones: the workload is revoked, not its images.
const REVOKE_MEASUREMENTS: &str = "
UPDATE measurement SET state = 'revoked', epoch = $2, revision = revision + 1,
       pending_not_before_ms = NULL, pending_expires_ms = NULL, pending_author = NULL
WHERE workload = $1 AND state <> 'revoked'";
