//! Replicas and what they hold.

use std::collections::BTreeSet;

use super::{
    SqlStore,
    change::lock::{CHANNEL, PolicyChange},
    connection::{Failure, Row, Transaction},
};
use crate::store::{Impact, Load, ReplicaRow, UnixMs, texts::corrupt};

impl SqlStore {
    pub(super) async fn beat(&self, replica: &ReplicaRow) -> Result<(), Failure> {
        let ReplicaRow { id, name, started, seen, epoch, sessions, tunnels, load, audit_key, stopped } =
            replica;
        let load: Vec<_> =
            load.iter().map(|l| (&l.workload, &l.measurement, l.sessions, l.tunnels)).collect();
        let load = serde_json::json!(load).to_string();
        let values = [
            id.into(),
            name.into(),
            (*started).into(),
            (*seen).into(),
            (*epoch).into(),
            (*sessions).into(),
            (*tunnels).into(),
            load.as_str().into(),
            audit_key.into(),
            (*stopped).into(),
        ];
        let mut transaction = self.journal.begin().await?;
        transaction.execute(BEAT, &values).await?;
        if matches!(transaction, Transaction::Postgres(_)) {
            // Whoever waits for this replica's acknowledgement looks at once.
            transaction.fetch_optional(NOTIFY, &[CHANNEL.into()]).await?;
        }
        Ok(transaction.commit().await?)
    }

    pub(super) async fn read_replicas(&self, now: UnixMs) -> Result<Vec<ReplicaRow>, Failure> {
        let rows = self.reader.fetch_all(REPLICAS, &[UnixMs(now.0.saturating_sub(KEPT_MS)).into()]).await?;
        rows.iter().map(replica).collect()
    }
}

/// What ends with these measurements of a workload (all, when none is named), as far as the replicas said.
pub(super) async fn impact(
    change: &mut PolicyChange,
    concerned: &[(String, Option<String>)],
) -> Result<Impact, Failure> {
    let now = change.now;
    let mut impact = Impact::default();
    for (workload, measurement) in concerned {
        let values = [workload.into(), measurement.into(), now.into()];
        impact.sessions += change.transaction.fetch_one(SESSIONS, &values).await?.count(0)?;
    }
    let since = UnixMs(now.0.saturating_sub_unsigned(ReplicaRow::GONE_AFTER));
    let mut names = BTreeSet::new();
    for row in change.transaction.fetch_all(REPLICAS, &[since.into()]).await? {
        let replica = replica(&row)?;
        let hit = |load: &&Load| {
            concerned.iter().any(|(workload, measurement)| {
                load.workload == *workload
                    && measurement.as_ref().is_none_or(|name| load.measurement == *name)
            })
        };
        let tunnels: u64 = replica.load.iter().filter(hit).map(|load| load.tunnels).sum();
        if replica.is_live(now) && tunnels > 0 {
            impact.tunnels += tunnels;
            names.insert(replica.name);
        }
    }
    impact.replicas = names.into_iter().collect();
    Ok(impact)
}

fn replica(row: &Row) -> Result<ReplicaRow, Failure> {
    let id: [u8; 16] = row.bytes(0)?;
    let load: Vec<(String, String, u64, u64)> = serde_json::from_str(row.get(7)?)
        .map_err(|error| corrupt("replica", &hex::encode(id), error.to_string()))?;
    let load = load.into_iter().map(|(workload, measurement, sessions, tunnels)| Load {
        workload,
        measurement,
        sessions,
        tunnels,
    });
    Ok(ReplicaRow {
        id,
        name: row.get(1)?,
        started: row.time(2)?,
        seen: row.time(3)?,
        epoch: row.epoch(4)?,
        sessions: row.count(5)?,
        tunnels: row.count(6)?,
        load: load.collect(),
        audit_key: row.get(8)?,
        stopped: row.optional_time(9)?,
    })
}

/// A day.
pub(super) const KEPT_MS: i64 = 86_400_000;

const BEAT: &str = "
INSERT INTO replica (id, name, started_ms, seen_ms, epoch, sessions, tunnels, load, audit_key, stopped_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, started_ms = excluded.started_ms, seen_ms = excluded.seen_ms, epoch = excluded.epoch,
    sessions = excluded.sessions, tunnels = excluded.tunnels, load = excluded.load,
    audit_key = excluded.audit_key, stopped_ms = excluded.stopped_ms";
const NOTIFY: &str = "SELECT CAST(pg_notify($1, 'heartbeat') AS TEXT)";

const REPLICAS: &str = "
SELECT id, name, started_ms, seen_ms, epoch, sessions, tunnels, load, audit_key, stopped_ms
FROM replica WHERE seen_ms >= $1 ORDER BY name, id";

const SESSIONS: &str = "
SELECT count(*) FROM session
WHERE workload = $1 AND ($2 IS NULL OR measurement = $2) AND lease_ends_ms > $3";
