//! SQLite: one file with a write-ahead log.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::{
    SqlStore,
    connection::{Failure, Pool},
    open::{Missing, Pools},
};
use crate::store::StoreError;

/// Opens the store in a state directory.
///
/// A policy change is on the disk when it is answered (`synchronous = FULL`).
/// Admissions and their audit rows survive the process, and a power failure can
/// take the last ones (`NORMAL`): an fsync for each batch would cost more than the
/// attestation. Reading never waits for either.
pub(super) async fn open(directory: &Path, missing: Missing) -> Result<Pools, StoreError> {
    let path = directory.join(FILE);
    if missing == Missing::Fail && !path.exists() {
        return Err(StoreError::Absent { place: path.display().to_string() });
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
    let policy = pool(1, options(SqliteSynchronous::Full));
    // Every thousandth page SQLite would copy the log into the file, and sync it, inside
    // an admission's commit: milliseconds. `tidy` does it beside the commits.
    let journal = pool(1, options(SqliteSynchronous::Normal).pragma("wal_autocheckpoint", "0"));
    let reader = pool(READERS, options(SqliteSynchronous::Normal));
    let poll = pool(1, options(SqliteSynchronous::Normal));
    let place = path.display().to_string();
    let migrated = async {
        let mut connection = policy.acquire().await?;
        // Not `run`: what it gives back is no `Send` where more lifetimes are about.
        MIGRATIONS.run_direct(None, &mut *connection, false).await
    };
    migrated.await.map_err(|error| StoreError::Open { place: place.clone(), source: Box::new(error) })?;
    restrict(&path).map_err(|error| StoreError::Open { place, source: Box::new(error) })?;
    let [policy, journal, reader, poll] = [policy, journal, reader, poll].map(Pool::Sqlite);
    Ok(Pools { policy, journal, reader, poll, hints: None })
}

impl SqlStore {
    /// Upkeep that no commit should wait for.
    pub(super) async fn tidy_up(&self) -> Result<(), Failure> {
        if let (Pool::Sqlite(reader), Pool::Sqlite(journal)) = (&self.reader, &self.journal) {
            let log_pages = move_log(reader).await?;
            if log_pages > LONG_LOG {
                move_log(journal).await?;
            }
        }
        Ok(())
    }
}

/// Copies the write-ahead log into the file as far as it has come; tells how many pages
/// the log has.
///
/// A log that is copied to its end is written again from its beginning. Under load that
/// never happens beside the commits, since one always comes meanwhile, and the log would
/// grow for as long as the load lasts: a long one is copied once more on the connection
/// that commits, when little of it is left.
async fn move_log(pool: &SqlitePool) -> Result<i64, sqlx::Error> {
    let (_busy, log_pages, _copied): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(pool).await?;
    Ok(log_pages)
}

/// Who may read the store can see every session and destination; nobody else needs to.
fn restrict(path: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

/// The store's file in the state directory.
const FILE: &str = "countersign.db";

/// How long a writer waits for another process (`measurement revoke` beside `serve`).
const BUSY: Duration = Duration::from_secs(5);

/// Pages of 4 KiB that the write-ahead log may have before admissions wait for its end to
/// be copied: some milliseconds, at the most once a second.
const LONG_LOG: i64 = 4096;

/// Lists of the API; nothing that cuts a tunnel waits for them.
const READERS: u32 = 3;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");
