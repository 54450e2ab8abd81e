//! What one person does alone: revoking, and ending sessions. And lifting a tombstone.

use countersign_protocol::SessionId;
use countersign_verifier::PcrSet;

use super::{
    Ask, Outcome,
    hands::hands,
    lock::{PolicyChange, Said},
    measurement as measurements,
};
use crate::{
    config::MeasurementState,
    store::{
        ChangeError, Impact, TombstoneRow,
        decide::invalid,
        sql::{
            connection::Failure,
            policy::{Burial, Concerned, bury},
            replicas::impact,
            rows::{self, tombstone_columns, tombstone_row},
        },
        texts::{pcrs_text, tombstone_json},
    },
};

pub(super) async fn measurement(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    workload: &str,
    name: &str,
    reason: Option<&str>,
) -> Result<Outcome, Failure> {
    let what = || format!("measurement {workload}/{name}");
    let before = rows::existing_measurement(&mut change.transaction, workload, name).await?;
    ask.check(what, Some(before.revision))?;
    // One that only left the file can still be revoked for good.
    let buried = tombstone(change, &before.pcrs).await?.is_some();
    if buried && before.state == MeasurementState::Revoked {
        return Err(ChangeError::AlreadyRevoked { what: what() }.into());
    }
    let burial =
        Burial { pcrs: &before.pcrs, name: (workload, name), author: Some(&ask.actor.subject), reason };
    let ended = revoke(change, burial).await?;
    let after = rows::existing_measurement(&mut change.transaction, workload, name).await?;
    measurements::say(change, ask, "measurement-revoked", (workload, name), Some(before), reason).await?;
    Ok(Outcome { impact: ended, ..Outcome::in_force(after.revision) })
}

pub(super) async fn pcrs(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    pcrs: &PcrSet,
    reason: Option<&str>,
) -> Result<Outcome, Failure> {
    if pcrs.is_empty() {
        return Err(invalid("pcrs", "no PCR at all would refuse every enclave".to_owned()).into());
    }
    if tombstone(change, pcrs).await?.is_some() {
        return Err(ChangeError::AlreadyRevoked { what: "set of PCRs".to_owned() }.into());
    }
    let burial = Burial { pcrs, name: ("", ""), author: Some(&ask.actor.subject), reason };
    let ended = revoke(change, burial).await?;
    let after = tombstone(change, pcrs).await?;
    say(change, ask, "pcrs-revoked", None, after.as_ref(), reason).await?;
    Ok(Outcome { revision: None, impact: ended, ..Outcome::in_force(0) })
}

/// Buries a set, and tells what that ends.
async fn revoke(change: &mut PolicyChange, burial: Burial<'_>) -> Result<Impact, Failure> {
    let Concerned { gone, near } = Concerned::read(change, burial.pcrs).await?;
    let all = gone.into_iter().chain(near).map(|(workload, name)| (workload, Some(name)));
    let ended = impact(change, &all.collect::<Vec<_>>()).await?;
    bury(change, burial).await?;
    Ok(ended)
}

/// Allows that PCRs are added again. Nothing that was revoked comes back by it.
///
/// Where approvals are asked for it takes somebody else than who revoked, and it
/// is refused while some enclave would be admitted by it at once: one that matches
/// both the set and a measurement that leaves open what the set pins. Adding asks
/// for approvals by itself; this would not.
pub(super) async fn lift(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    pcrs: &PcrSet,
    reason: Option<&str>,
) -> Result<Outcome, Failure> {
    let Some(before) = tombstone(change, pcrs).await? else {
        let what = "tombstone of this set of PCRs".to_owned();
        return Err(ChangeError::NotFound { what, known: Vec::new() }.into());
    };
    // A tombstone never changes: its epoch is its revision.
    ask.check(|| "tombstone of this set of PCRs".to_owned(), Some(before.epoch.0))?;
    if ask.approvals > 0 {
        let author = before.author.as_deref();
        let hands = hands(change, &ask.actor.subject, author.as_slice()).await?;
        if author.is_some_and(|author| hands.contains(author)) {
            return Err(ChangeError::OwnApproval { subject: ask.actor.subject.clone() }.into());
        }
        if let Some((workload, name)) = Concerned::read(change, pcrs).await?.near.first() {
            let reason = format!(
                "{workload}/{name} would admit enclaves with these PCRs at once, and what allows more asks for approvals: \
                 revoke it, or pin its PCRs, first"
            );
            return Err(invalid("pcrs", reason).into());
        }
    }
    change.raise().await?;
    change.transaction.execute(LIFT, &[pcrs_text(pcrs).as_str().into()]).await?;
    say(change, ask, "tombstone-lifted", Some(&before), None, reason).await?;
    Ok(Outcome { revision: None, ..Outcome::in_force(0) })
}

pub(super) async fn session(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    session: SessionId,
    reason: Option<&str>,
) -> Result<Outcome, Failure> {
    let id = session.as_bytes();
    let row = change.transaction.fetch_optional(SESSION, &[id.into(), change.now.into()]).await?;
    let Some(row) = row else {
        return Err(ChangeError::NotFound { what: format!("session {session}"), known: Vec::new() }.into());
    };
    let (workload, measurement): (String, String) = (row.get(0)?, row.get(1)?);
    let committed = change.raise().await?;
    change.transaction.execute("DELETE FROM session WHERE id = $1", &[id.into()]).await?;
    let words = reason.unwrap_or("ended by an administrator");
    let values = [id.into(), committed.epoch.into(), words.into(), change.now.into()];
    change.transaction.execute(END, &values).await?;
    let said = Said {
        kind: "policy",
        code: "session-ended",
        workload: Some(&workload),
        measurement: Some(&measurement),
        session: Some(session),
        detail: reason.map(str::to_owned),
        ..Said::default()
    };
    change.say(Some(ask.actor), said).await?;
    let impact = Impact { sessions: 1, ..Impact::default() };
    Ok(Outcome { revision: None, impact, ..Outcome::in_force(0) })
}

async fn tombstone(change: &mut PolicyChange, pcrs: &PcrSet) -> Result<Option<TombstoneRow>, Failure> {
    let row = change.transaction.fetch_optional(TOMBSTONE, &[pcrs_text(pcrs).as_str().into()]).await?;
    row.as_ref().map(tombstone_row).transpose()
}

async fn say(
    change: &mut PolicyChange,
    ask: &Ask<'_>,
    code: &'static str,
    before: Option<&TombstoneRow>,
    after: Option<&TombstoneRow>,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let row = before.or(after);
    let named = row.filter(|row| !row.workload.is_empty());
    let said = Said {
        kind: "policy",
        code,
        workload: named.map(|row| row.workload.as_str()),
        measurement: named.map(|row| row.measurement.as_str()),
        before: before.map(tombstone_json),
        after: after.map(tombstone_json),
        detail: reason.map(str::to_owned),
        ..Said::default()
    };
    change.say(Some(ask.actor), said).await
}

const TOMBSTONE: &str = concat!(tombstone_columns!(), " WHERE t.pcrs = $1");
const LIFT: &str = "DELETE FROM tombstone WHERE pcrs = $1";
const SESSION: &str = "SELECT workload, measurement FROM session WHERE id = $1 AND lease_ends_ms > $2";
const END: &str = "
INSERT INTO ended_session (id, epoch, reason, ended_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING";
