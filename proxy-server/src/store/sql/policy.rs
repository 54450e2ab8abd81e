//! Reading the policy, and burying a set of PCRs.

use countersign_verifier::PcrSet;

use super::{
    SqlStore,
    change::lock::{COMMITTED, PolicyChange, committed},
    connection::{Failure, Row},
};
use crate::store::{
    Committed, EndedSession, StoredMeasurement, StoredPolicy,
    decide::{covers, might_match},
    texts::{corrupt, pcrs, pcrs_text, workload},
};

impl SqlStore {
    pub(super) async fn read_committed(&self) -> Result<Committed, Failure> {
        let row = self.poll.fetch_optional(COMMITTED, &[]).await?.ok_or(sqlx::Error::RowNotFound)?;
        Ok(committed(&row)?)
    }

    pub(super) async fn load_policy(&self) -> Result<StoredPolicy, Failure> {
        // One transaction: all of it from one point in time.
        let mut snapshot = self.reader.begin_reading().await?;
        let policy = committed(&snapshot.fetch_one(COMMITTED, &[]).await?)?;
        let workloads = snapshot.fetch_all(WORKLOADS, &[]).await?;
        let measurements = snapshot.fetch_all(MEASUREMENTS, &[]).await?;
        let tombstones = snapshot.fetch_all(TOMBSTONES, &[]).await?;
        snapshot.commit().await?;
        let workload = |row: &Row| Ok::<_, Failure>(workload(row.get(0)?, row.get(1)?)?);
        Ok(StoredPolicy {
            committed: policy,
            workloads: workloads.iter().map(workload).collect::<Result<_, _>>()?,
            measurements: measurements.iter().map(measurement).collect::<Result<_, _>>()?,
            tombstones: tombstones.iter().map(tombstone).collect::<Result<_, _>>()?,
        })
    }

    pub(super) async fn read_ended(
        &self,
        after: countersign_protocol::Epoch,
    ) -> Result<Vec<EndedSession>, Failure> {
        let rows = self.reader.fetch_all(ENDED_SINCE, &[after.into()]).await?;
        let ended = |row: &Row| {
            let id = countersign_protocol::SessionId::from_bytes(row.bytes(0)?);
            Ok(EndedSession { id, epoch: row.epoch(1)?, reason: row.get(2)? })
        };
        rows.iter().map(ended).collect()
    }
}

fn measurement(row: &Row) -> Result<StoredMeasurement, Failure> {
    let (workload, name): (String, String) = (row.get(0)?, row.get(1)?);
    let key = format!("{workload}/{name}");
    let state: &str = row.get(3)?;
    Ok(StoredMeasurement {
        pcrs: pcrs(row.get(2)?, &key)?,
        state: state.parse().map_err(|error: &str| corrupt("measurement", &key, error))?,
        epoch: row.epoch(4)?,
        not_before: row.optional_time(5)?,
        expires: row.optional_time(6)?,
        workload,
        name,
    })
}

fn tombstone(row: &Row) -> Result<(PcrSet, String), Failure> {
    let name = buried_name(row.get(1)?, row.get(2)?);
    Ok((pcrs(row.get(0)?, &name)?, name))
}

/// What a refusal says was revoked.
pub(super) fn buried_name(workload: &str, measurement: &str) -> String {
    if workload.is_empty() { "a set of PCRs".to_owned() } else { format!("{workload}/{measurement}") }
}

/// Whose revocation it is.
pub(super) struct Burial<'a> {
    pub(super) pcrs: &'a PcrSet,
    /// Workload and measurement; both empty when PCRs are revoked by themselves.
    pub(super) name: (&'a str, &'a str),
    pub(super) author: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
}

/// Measurements that a revocation of PCRs concerns.
pub(super) struct Concerned {
    /// Every enclave they admit is revoked.
    pub(super) gone: Vec<(String, String)>,
    /// Some of the enclaves they admit may be: their sessions end, and attest again.
    pub(super) near: Vec<(String, String)>,
}

impl Concerned {
    /// Reads them. Revoked measurements are not among them.
    pub(super) async fn read(change: &mut PolicyChange, revoked: &PcrSet) -> Result<Self, Failure> {
        let mut concerned = Self { gone: Vec::new(), near: Vec::new() };
        for row in change.transaction.fetch_all(STANDING, &[]).await? {
            let key: (String, String) = (row.get(0)?, row.get(1)?);
            let set = pcrs(row.get(2)?, &format!("{}/{}", key.0, key.1))?;
            if covers(revoked, &set) {
                concerned.gone.push(key);
            } else if row.get::<&str>(3)? == "active" && might_match(revoked, &set) {
                concerned.near.push(key);
            }
        }
        Ok(concerned)
    }
}

/// Leaves a tombstone for a set of PCRs, and revokes whatever has that set.
pub(super) async fn bury(change: &mut PolicyChange, burial: Burial<'_>) -> Result<Concerned, Failure> {
    let concerned = Concerned::read(change, burial.pcrs).await?;
    let committed = change.raise().await?;
    let text = pcrs_text(burial.pcrs);
    let values = [
        text.as_str().into(),
        burial.name.0.into(),
        burial.name.1.into(),
        committed.epoch.into(),
        committed.at.into(),
        burial.author.into(),
        burial.reason.into(),
    ];
    change.transaction.execute(INSERT_TOMBSTONE, &values).await?;
    for (workload, name) in &concerned.gone {
        forget_sessions(change, workload, Some(name)).await?;
        let values = [workload.into(), name.into(), committed.epoch.into()];
        change.transaction.execute(REVOKE, &values).await?;
    }
    for (workload, name) in &concerned.near {
        forget_sessions(change, workload, Some(name)).await?;
        let values = [workload.into(), name.into(), committed.epoch.into()];
        change.transaction.execute(RENEW, &values).await?;
    }
    Ok(concerned)
}

/// What was admitted by another rule is not found again, here or on another replica.
pub(super) async fn forget_sessions(
    change: &mut PolicyChange,
    workload: &str,
    measurement: Option<&str>,
) -> Result<(), sqlx::Error> {
    let values = [workload.into(), measurement.into()];
    change.transaction.execute(FORGET, &values).await.map(drop)
}

const WORKLOADS: &str = "SELECT name, rules FROM workload WHERE state = 'active'";
const MEASUREMENTS: &str = "
SELECT m.workload, m.name, m.pcrs, m.state, m.epoch, m.not_before_ms, m.expires_ms
FROM measurement m JOIN workload w ON w.name = m.workload WHERE w.state = 'active'";
const TOMBSTONES: &str = "SELECT pcrs, workload, measurement FROM tombstone";

const ENDED_SINCE: &str = "SELECT id, epoch, reason FROM ended_session WHERE epoch > $1 ORDER BY epoch";

const STANDING: &str = "SELECT workload, name, pcrs, state FROM measurement WHERE state <> 'revoked'";

const INSERT_TOMBSTONE: &str = "
INSERT INTO tombstone (pcrs, workload, measurement, epoch, revoked_ms, author, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (pcrs) DO NOTHING";

const REVOKE: &str = "
UPDATE measurement SET state = 'revoked', epoch = $3, revision = revision + 1,
       pending_not_before_ms = NULL, pending_expires_ms = NULL, pending_author = NULL
WHERE workload = $1 AND name = $2";

/// Still active, but nobody whom it admitted before stands by it any more.
const RENEW: &str = "UPDATE measurement SET epoch = $3 WHERE workload = $1 AND name = $2";

const FORGET: &str = "DELETE FROM session WHERE workload = $1 AND ($2 IS NULL OR measurement = $2)";
