//! A batch on SQLite: one text for a batch of any size, prepared once, and one
//! crossing to SQLite's thread instead of one for each row.

use serde_json::json;
use sqlx::{SqliteConnection, SqlitePool, error::ErrorKind, query::Query, sqlite::SqliteArguments};

use super::{
    append::{Draft, Guarded},
    sessions::stored_sequence,
};

/// In a transaction of its own, and in a task of its own: whoever waits may lose patience in the
/// middle, and a transaction that nobody ends would stand in the way of every later one.
pub(super) async fn at_once(pool: &SqlitePool, draft: &Draft) -> Result<Guarded, sqlx::Error> {
    let (pool, statements) = (pool.clone(), bind(AT_ONCE, draft));
    let writing = tokio::spawn(async move {
        let mut connection = pool.acquire().await?;
        let written = guarded(statements.execute(&mut *connection).await);
        if !matches!(written, Ok(Guarded::Written)) {
            // The statements are one transaction, so what failed in the middle is still open.
            let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
        }
        written
    });
    // Only a runtime that stops ends the task before its time.
    writing.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// In a transaction that is open.
pub(super) async fn write(connection: &mut SqliteConnection, draft: &Draft) -> Result<Guarded, sqlx::Error> {
    guarded(bind(WRITE, draft).execute(connection).await)
}

/// The guard makes the head NULL where it does not hold, which the table refuses.
fn guarded<T>(written: Result<T, sqlx::Error>) -> Result<Guarded, sqlx::Error> {
    match written {
        Ok(_) => Ok(Guarded::Written),
        Err(sqlx::Error::Database(error)) if error.kind() == ErrorKind::NotNullViolation => {
            Ok(Guarded::Refused)
        }
        Err(error) => Err(error),
    }
}

fn bind(sql: &'static str, draft: &Draft) -> Query<'static, sqlx::Sqlite, SqliteArguments> {
    let Draft { chain, from, to, newest_policy, events, sessions } = draft;
    let events: Vec<_> = events
        .iter()
        .map(|(head, e)| {
            let session = e.session.map(|id| id.to_string());
            json!([
                head.seq,
                e.at.0,
                e.kind,
                e.code,
                e.epoch.0,
                e.workload,
                e.measurement,
                session,
                e.request_id,
                e.actor,
                e.before,
                e.after,
                e.evidence.map(hex::encode),
                e.detail,
                hex::encode(head.hash)
            ])
        })
        .collect();
    let sessions: Vec<_> = sessions
        .iter()
        .map(|s| {
            json!([
                s.id.to_string(),
                s.key.to_string(),
                s.workload,
                s.measurement,
                s.boot_id.to_string(),
                stored_sequence(s.sequence),
                s.lease.as_secs(),
                s.lease_ends.0,
                s.epoch.0,
                s.module_id,
                s.replica.map(hex::encode),
                s.admitted.0
            ])
        })
        .collect();
    sqlx::query(sql)
        .bind(from.seq.cast_signed())
        .bind(newest_policy.0.cast_signed())
        .bind(to.seq.cast_signed())
        .bind(to.hash.to_vec())
        .bind(*chain)
        .bind(json!(events).to_string())
        .bind(json!(sessions).to_string())
}

/// `$1` the head's place before, `$2` the newest policy there may be, `$3` and `$4`
/// the head afterwards, `$5` the chain, `$6` and `$7` rows as JSON lists.
///
/// `CROSS JOIN` keeps the order: ended sessions are few, and mostly none. `jsonb_each`
/// gives each row as SQLite has parsed it, and not as a text to be parsed for each field.
macro_rules! write {
    () => {
        "UPDATE audit_chain SET hash = $4, seq = CASE
    WHEN seq = $1 AND epoch <= $2 AND NOT EXISTS (
        SELECT 1 FROM ended_session e CROSS JOIN jsonb_each($7) s WHERE e.id = unhex(s.value ->> 0))
    THEN $3 END
WHERE id = $5;
INSERT INTO audit (chain, seq, at_ms, kind, code, epoch, workload, measurement, session, request_id, actor,
                   before, after, evidence, detail, hash)
SELECT $5, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
       unhex(value ->> 7), value ->> 8, value ->> 9, value ->> 10, value ->> 11, unhex(value ->> 12),
       value ->> 13, unhex(value ->> 14)
FROM jsonb_each($6) ORDER BY key;
INSERT INTO session (id, key, workload, measurement, boot_id, sequence, lease_seconds, lease_ends_ms, epoch,
                     module_id, replica, admitted_ms)
SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, unhex(value ->> 4), value ->> 5,
       value ->> 6, value ->> 7, value ->> 8, value ->> 9, unhex(value ->> 10), value ->> 11
FROM jsonb_each($7) WHERE true ORDER BY key
ON CONFLICT (id) DO UPDATE SET
    sequence = excluded.sequence, lease_seconds = excluded.lease_seconds,
    lease_ends_ms = excluded.lease_ends_ms, epoch = excluded.epoch,
    module_id = excluded.module_id, replica = excluded.replica
WHERE session.sequence < excluded.sequence;"
    };
}

const WRITE: &str = write!();
const AT_ONCE: &str = concat!("BEGIN IMMEDIATE;\n", write!(), "\nCOMMIT");
