//! Reading the policy, and revoking a measurement.

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    Committed, Revoked, SqliteStore, StoreError, StoredMeasurement, StoredPolicy, UnixMs,
    error::doing,
    rules::{corrupt, pcrs, workload},
    sqlite::{committed, epoch},
};

pub(super) async fn load(store: &SqliteStore) -> Result<StoredPolicy, StoreError> {
    let doing = doing("read the policy");
    // One transaction: all of it from one point in time.
    let read = async {
        let mut transaction = store.reader.begin().await?;
        let row = sqlx::query(POLICY).fetch_one(&mut *transaction).await?;
        let workloads = sqlx::query(WORKLOADS).fetch_all(&mut *transaction).await?;
        let measurements = sqlx::query(MEASUREMENTS).fetch_all(&mut *transaction).await?;
        let tombstones = sqlx::query(TOMBSTONES).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok((committed(&row), workloads, measurements, tombstones))
    };
    let (committed, workloads, measurements, tombstones) = read.await.map_err(doing)?;
    let tombstone = |row: &SqliteRow| {
        let name = format!("{}/{}", row.get::<&str, _>(1), row.get::<&str, _>(2));
        Ok((pcrs(row.get(0), &name)?, name))
    };
    Ok(StoredPolicy {
        committed,
        workloads: workloads.iter().map(|row| workload(row.get(0), row.get(1))).collect::<Result<_, _>>()?,
        measurements: measurements.iter().map(measurement).collect::<Result<_, _>>()?,
        tombstones: tombstones.iter().map(tombstone).collect::<Result<_, _>>()?,
    })
}

pub(super) fn measurement(row: &SqliteRow) -> Result<StoredMeasurement, StoreError> {
    let (workload, name): (String, String) = (row.get(0), row.get(1));
    let key = format!("{workload}/{name}");
    Ok(StoredMeasurement {
        pcrs: pcrs(row.get(2), &key)?,
        state: row.get::<&str, _>(3).parse().map_err(|error| corrupt("measurement", &key, error))?,
        epoch: epoch(row.get(4)),
        workload,
        name,
    })
}

pub(super) async fn revoke(
    store: &SqliteStore,
    workload: &str,
    name: &str,
    reason: Option<&str>,
    now: UnixMs,
) -> Result<Revoked, StoreError> {
    let fail = || doing("revoke the measurement");
    let mut transaction = store.policy.begin_with("BEGIN IMMEDIATE").await.map_err(fail())?;
    let found = sqlx::query("SELECT pcrs, state FROM measurement WHERE workload = ?1 AND name = ?2")
        .bind(workload)
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(fail())?;
    let full = format!("{workload}/{name}");
    let Some(found) = found else {
        let rows = sqlx::query("SELECT workload || '/' || name FROM measurement ORDER BY 1 LIMIT 50");
        let rows = rows.fetch_all(&mut *transaction).await.map_err(fail())?;
        let known = rows.iter().map(|row| row.get(0)).collect();
        return Err(StoreError::UnknownMeasurement { asked: full, known });
    };
    let pcrs: String = found.get(0);
    let buried = sqlx::query("SELECT 1 FROM tombstone WHERE pcrs = ?1").bind(&pcrs);
    if buried.fetch_optional(&mut *transaction).await.map_err(fail())?.is_some() {
        return Err(StoreError::AlreadyRevoked { measurement: full });
    }
    let committed = raise_epoch(&mut transaction, now).await.map_err(fail())?;
    bury(&mut transaction, &pcrs, (workload, name), committed, reason).await.map_err(fail())?;
    let detail = reason.map_or(full.clone(), |reason| format!("{full}: {reason}"));
    audit(&mut transaction, committed, "measurement-revoked", Some((workload, name)), &detail)
        .await
        .map_err(fail())?;
    transaction.commit().await.map_err(fail())?;
    Ok(Revoked { committed })
}

/// Leaves a tombstone for a set of PCRs, and revokes whatever has that set.
pub(super) async fn bury(
    connection: &mut SqliteConnection,
    pcrs: &str,
    (workload, measurement): (&str, &str),
    committed: Committed,
    reason: Option<&str>,
) -> Result<(), sqlx::Error> {
    let epoch = committed.epoch.0.cast_signed();
    sqlx::query(
        "INSERT INTO tombstone (pcrs, workload, measurement, epoch, revoked_ms, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (pcrs) DO NOTHING",
    )
    .bind(pcrs)
    .bind(workload)
    .bind(measurement)
    .bind(epoch)
    .bind(committed.at.0)
    .bind(reason)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM session WHERE (workload, measurement) IN
         (SELECT workload, name FROM measurement WHERE pcrs = ?1)",
    )
    .bind(pcrs)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE measurement SET state = 'revoked', epoch = ?2 WHERE pcrs = ?1 AND state <> 'revoked'",
    )
    .bind(pcrs)
    .bind(epoch)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// `epoch + 1`, on the one row that every change locks.
pub(super) async fn raise_epoch(
    connection: &mut SqliteConnection,
    now: UnixMs,
) -> Result<Committed, sqlx::Error> {
    let row = sqlx::query(
        "UPDATE policy SET epoch = epoch + 1, committed_ms = ?1 WHERE id = 1 RETURNING epoch, committed_ms",
    )
    .bind(now.0)
    .fetch_one(connection)
    .await?;
    Ok(committed(&row))
}

/// The audit row that commits with a policy change, or the change fails.
pub(super) async fn audit(
    connection: &mut SqliteConnection,
    committed: Committed,
    code: &str,
    measurement: Option<(&str, &str)>,
    detail: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO audit (at_ms, kind, code, epoch, workload, measurement, detail)
         VALUES (?1, 'policy', ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(committed.at.0)
    .bind(code)
    .bind(committed.epoch.0.cast_signed())
    .bind(measurement.map(|(workload, _)| workload))
    .bind(measurement.map(|(_, name)| name))
    .bind(detail)
    .execute(connection)
    .await
    .map(drop)
}

const POLICY: &str = "SELECT epoch, committed_ms FROM policy WHERE id = 1";
const WORKLOADS: &str = "SELECT name, rules FROM workload WHERE state = 'active'";
pub(super) const MEASUREMENTS: &str = "SELECT workload, name, pcrs, state, epoch FROM measurement";
const TOMBSTONES: &str = "SELECT pcrs, workload, measurement FROM tombstone";
