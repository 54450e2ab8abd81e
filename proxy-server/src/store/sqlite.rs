use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use countersign_protocol::{Epoch, Lease};
use serde_json::json;
use sqlx::{
    Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};

use super::{
    Answer, Batch, Committed, MeasurementRow, Revoked, Seeded, SessionRow, Store, StoreError, StoredPolicy,
    UnixMs,
    error::doing,
    rules::{corrupt, pcrs},
    sqlite_policy, sqlite_seed,
};
use crate::config::{AuditRetention, WorkloadSpec};

/// The store in one SQLite file, with a write-ahead log.
///
/// Three pools, because they promise different things. A policy change is on
/// the disk when it is answered (`synchronous = FULL`). Admissions and their
/// audit rows survive the process, and a power failure can take the last ones
/// (`NORMAL`): an fsync for each batch would cost more than the attestation.
/// Reading never waits for either.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pub(super) policy: SqlitePool,
    journal: SqlitePool,
    pub(super) reader: SqlitePool,
}

/// What to do when there is no store yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Make an empty one.
    Make,
    /// Fail: whoever revokes in a store that nobody serves has named the wrong directory.
    Fail,
}

impl SqliteStore {
    /// Opens the store in a state directory and brings its tables up to date.
    ///
    /// # Errors
    /// [`StoreError::Open`], or [`StoreError::Absent`] with [`Missing::Fail`].
    pub async fn open(directory: &Path, missing: Missing) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        if missing == Missing::Fail && !path.exists() {
            return Err(StoreError::Absent { path });
        }
        let options = |synchronous| {
            SqliteConnectOptions::new()
                .filename(&path)
                .create_if_missing(missing == Missing::Make)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(synchronous)
                .foreign_keys(true)
                .busy_timeout(BUSY)
        };
        let pool = |connections, options| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(BUSY)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_lazy_with(options)
        };
        let store = Self {
            policy: pool(1, options(SqliteSynchronous::Full)),
            // Every thousandth page SQLite would copy the log into the file, and sync it, inside
            // an admission's commit: milliseconds. `tidy` does it beside the commits.
            journal: pool(1, options(SqliteSynchronous::Normal).pragma("wal_autocheckpoint", "0")),
            reader: pool(2, options(SqliteSynchronous::Normal)),
        };
        MIGRATIONS
            .run(&store.policy)
            .await
            .map_err(|error| StoreError::Open { path: path.clone(), source: Box::new(error) })?;
        restrict(&path).map_err(|error| StoreError::Open { path, source: Box::new(error) })?;
        Ok(store)
    }

    #[cfg(test)]
    pub(crate) async fn audit_for_tests(&self) -> Vec<String> {
        let rows = sqlx::query_scalar("SELECT kind || ' ' || code || ' ' || epoch FROM audit ORDER BY seq");
        rows.fetch_all(&self.reader).await.unwrap()
    }

    async fn append_batch(&self, batch: Batch) -> Result<(), StoreError> {
        let Batch { events, sessions } = batch;
        let events: Vec<_> = events
            .into_iter()
            .map(|e| {
                let session = e.session.map(|id| id.to_string());
                json!([
                    e.at.0,
                    e.kind,
                    e.code,
                    e.epoch.0,
                    e.workload,
                    e.measurement,
                    session,
                    e.request_id,
                    e.detail
                ])
            })
            .collect();
        let sessions: Vec<_> = sessions
            .into_iter()
            .map(|s| {
                let sequence = s.sequence.cast_signed();
                json!([
                    s.id.to_string(),
                    s.key.to_string(),
                    s.workload,
                    s.measurement,
                    s.boot_id.to_string(),
                    sequence,
                    s.lease.as_secs(),
                    s.lease_ends.0,
                    s.epoch.0
                ])
            })
            .collect();
        let (events, sessions) = (json!(events).to_string(), json!(sessions).to_string());
        let mut connection = self.journal.acquire().await.map_err(doing("append to the audit"))?;
        let appended = sqlx::query(APPEND).bind(events).bind(sessions).execute(&mut *connection).await;
        if let Err(error) = appended {
            // The four statements are one transaction, so what failed in the middle is still open.
            let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
            return Err(doing("append to the audit")(error));
        }
        Ok(())
    }

    async fn live_sessions(&self, now: UnixMs) -> Result<Vec<SessionRow>, StoreError> {
        let rows = sqlx::query(SESSIONS).bind(now.0).fetch_all(&self.reader).await;
        rows.map_err(doing("read sessions"))?.iter().map(session_row).collect()
    }

    async fn prune_some(&self, retention: AuditRetention, now: UnixMs) -> Result<u64, StoreError> {
        let age = i64::try_from(retention.age.as_millis()).unwrap_or(i64::MAX);
        let rows = i64::try_from(retention.rows).unwrap_or(i64::MAX);
        let audit =
            sqlx::query(PRUNE_AUDIT).bind(rows).bind(now.0.saturating_sub(age)).execute(&self.journal).await;
        let sessions = sqlx::query(PRUNE_SESSIONS).bind(now.0).execute(&self.journal).await;
        let audit = audit.map_err(doing("prune the audit"))?;
        let sessions = sessions.map_err(doing("prune sessions"))?;
        Ok(audit.rows_affected() + sessions.rows_affected())
    }

    async fn list_measurements(&self) -> Result<Vec<MeasurementRow>, StoreError> {
        let rows =
            sqlx::query(MEASUREMENTS).fetch_all(&self.reader).await.map_err(doing("read measurements"))?;
        let read = |row: &SqliteRow| {
            let (workload, name): (String, String) = (row.get(0), row.get(1));
            let key = format!("{workload}/{name}");
            let state: String = row.get(3);
            Ok(MeasurementRow {
                version: row.get(2),
                state: state.parse().map_err(|error| corrupt("measurement", &key, error))?,
                epoch: epoch(row.get(4)),
                pcrs: pcrs(row.get(5), &key)?,
                reason: row.get(6),
                workload,
                name,
            })
        };
        rows.iter().map(read).collect()
    }
}

impl Store for SqliteStore {
    fn committed(&self) -> Answer<'_, Committed> {
        Box::pin(async {
            let row =
                sqlx::query(COMMITTED).fetch_one(&self.reader).await.map_err(doing("read the epoch"))?;
            Ok(committed(&row))
        })
    }

    fn load(&self) -> Answer<'_, StoredPolicy> {
        Box::pin(sqlite_policy::load(self))
    }

    fn seed<'a>(&'a self, specs: &'a [WorkloadSpec], now: UnixMs) -> Answer<'a, Seeded> {
        Box::pin(sqlite_seed::seed(self, specs, now))
    }

    fn revoke<'a>(
        &'a self,
        workload: &'a str,
        measurement: &'a str,
        reason: Option<&'a str>,
        now: UnixMs,
    ) -> Answer<'a, Revoked> {
        Box::pin(sqlite_policy::revoke(self, workload, measurement, reason, now))
    }

    fn append(&self, batch: Batch) -> Answer<'_, ()> {
        Box::pin(self.append_batch(batch))
    }

    fn sessions(&self, now: UnixMs) -> Answer<'_, Vec<SessionRow>> {
        Box::pin(self.live_sessions(now))
    }

    fn measurements(&self) -> Answer<'_, Vec<MeasurementRow>> {
        Box::pin(self.list_measurements())
    }

    fn prune(&self, retention: AuditRetention, now: UnixMs) -> Answer<'_, u64> {
        Box::pin(self.prune_some(retention, now))
    }

    fn tidy(&self) -> Answer<'_, ()> {
        Box::pin(async {
            let moved = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&self.reader).await;
            moved.map(|_| ()).map_err(doing("move the write-ahead log into the file"))
        })
    }
}

pub(super) fn committed(row: &SqliteRow) -> Committed {
    Committed { epoch: epoch(row.get(0)), at: UnixMs(row.get(1)) }
}

/// The tables hold no negative epoch (CHECK), and neither does this.
pub(super) fn epoch(value: i64) -> Epoch {
    Epoch(u64::try_from(value).unwrap_or(0))
}

fn session_row(row: &SqliteRow) -> Result<SessionRow, StoreError> {
    let id: Vec<u8> = row.get(0);
    let bad = |error: &dyn std::fmt::Display| corrupt("session", &hex::encode(&id), error.to_string());
    let (key, boot_id, lease): (Vec<u8>, Vec<u8>, i64) = (row.get(1), row.get(4), row.get(6));
    Ok(SessionRow {
        id: id.as_slice().try_into().map_err(|e: countersign_protocol::IdError| bad(&e))?,
        key: key.as_slice().try_into().map_err(|e: countersign_protocol::IdError| bad(&e))?,
        workload: row.get(2),
        measurement: row.get(3),
        boot_id: boot_id.as_slice().try_into().map_err(|e: countersign_protocol::IdError| bad(&e))?,
        sequence: row.get::<i64, _>(5).cast_unsigned(),
        lease: Lease::from_secs(lease.cast_unsigned()).map_err(|e| bad(&e))?,
        lease_ends: UnixMs(row.get(7)),
        epoch: epoch(row.get(8)),
    })
}

/// Who may read the store can see every session and destination; nobody else needs to.
fn restrict(path: &PathBuf) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

/// The store's file in the state directory.
const FILE: &str = "countersign.db";

/// How long a writer waits for another process (`measurement revoke` beside `serve`).
const BUSY: Duration = Duration::from_secs(5);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");

const COMMITTED: &str = "SELECT epoch, committed_ms FROM policy WHERE id = 1";

/// One text for a batch of any size: SQLite prepares it once.
const APPEND: &str = "
BEGIN IMMEDIATE;
INSERT INTO audit (at_ms, kind, code, epoch, workload, measurement, session, request_id, detail)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, unhex(value ->> 6),
       value ->> 7, value ->> 8
FROM json_each(?1) ORDER BY key;
INSERT INTO session (id, key, workload, measurement, boot_id, sequence, lease_seconds, lease_ends_ms, epoch)
SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, unhex(value ->> 4), value ->> 5,
       value ->> 6, value ->> 7, value ->> 8
FROM json_each(?2) WHERE true ORDER BY key
ON CONFLICT (id) DO UPDATE SET
    sequence = excluded.sequence, lease_seconds = excluded.lease_seconds,
    lease_ends_ms = excluded.lease_ends_ms, epoch = excluded.epoch;
COMMIT";

const SESSIONS: &str = "
SELECT id, key, workload, measurement, boot_id, sequence, lease_seconds, lease_ends_ms, epoch
FROM session WHERE lease_ends_ms > ?1 ORDER BY lease_ends_ms DESC";

const MEASUREMENTS: &str = "
SELECT m.workload, m.name, m.version, m.state, m.epoch, m.pcrs, t.reason
FROM measurement m LEFT JOIN tombstone t ON t.pcrs = m.pcrs
ORDER BY m.workload, m.name";

const PRUNE_AUDIT: &str = "
DELETE FROM audit WHERE seq IN (
    SELECT seq FROM audit
    WHERE seq <= (SELECT max(seq) FROM audit) - ?1 OR at_ms < ?2
    ORDER BY seq LIMIT 10000)";

const PRUNE_SESSIONS: &str = "
DELETE FROM session WHERE id IN (
    SELECT id FROM session WHERE lease_ends_ms <= ?1 ORDER BY lease_ends_ms LIMIT 10000)";
