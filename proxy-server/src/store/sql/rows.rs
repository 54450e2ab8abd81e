//! Rows of the policy's tables, as the API shows them.

use std::collections::BTreeMap;

use super::connection::{Failure, Row, Transaction};
use crate::{
    config::MeasurementState,
    store::{
        ChangeError, MeasurementRow, Origin, PendingValidity, TombstoneRow, WorkloadRow,
        texts::{corrupt, pcrs, workload as parse_workload},
    },
};

/// One workload.
pub(super) async fn workload(
    transaction: &mut Transaction,
    name: &str,
) -> Result<Option<WorkloadRow>, Failure> {
    let row = transaction.fetch_optional(WORKLOAD, &[name.into()]).await?;
    row.as_ref().map(workload_row).transpose()
}

/// One workload, or the nearest there are.
pub(super) async fn existing_workload(
    transaction: &mut Transaction,
    name: &str,
) -> Result<WorkloadRow, Failure> {
    if let Some(row) = workload(transaction, name).await? {
        return Ok(row);
    }
    let known = names(transaction, KNOWN_WORKLOADS, &[name.into()]).await?;
    Err(ChangeError::NotFound { what: format!("workload {name}"), known }.into())
}

/// One measurement.
pub(super) async fn measurement(
    transaction: &mut Transaction,
    workload: &str,
    name: &str,
) -> Result<Option<MeasurementRow>, Failure> {
    let key = [workload.into(), name.into()];
    let Some(row) = transaction.fetch_optional(MEASUREMENT, &key).await? else { return Ok(None) };
    let mut row = measurement_row(&row)?;
    row.approvers = approvers(transaction, workload, name, row.revision).await?;
    Ok(Some(row))
}

/// One measurement, or the nearest there are.
pub(super) async fn existing_measurement(
    transaction: &mut Transaction,
    workload: &str,
    name: &str,
) -> Result<MeasurementRow, Failure> {
    if let Some(row) = measurement(transaction, workload, name).await? {
        return Ok(row);
    }
    let known = names(transaction, KNOWN_MEASUREMENTS, &[workload.into(), name.into()]).await?;
    Err(ChangeError::NotFound { what: format!("measurement {workload}/{name}"), known }.into())
}

/// Who said yes to a revision; an empty `measurement` is the workload's pending rules.
pub(super) async fn approvers(
    transaction: &mut Transaction,
    workload: &str,
    measurement: &str,
    revision: u64,
) -> Result<Vec<String>, Failure> {
    let values = [workload.into(), measurement.into(), revision.into()];
    names(transaction, APPROVERS, &values).await
}

async fn names(
    transaction: &mut Transaction,
    sql: &'static str,
    values: &[super::connection::Value<'_>],
) -> Result<Vec<String>, Failure> {
    let rows = transaction.fetch_all(sql, values).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?)
}

/// Columns: see [`WORKLOAD_COLUMNS`].
pub(super) fn workload_row(row: &Row) -> Result<WorkloadRow, Failure> {
    let name: &str = row.get(0)?;
    let (pending, author): (Option<&str>, Option<String>) = (row.get(5)?, row.get(6)?);
    let pending = match (pending, author) {
        (Some(rules), Some(author)) => {
            let approvals = u32::try_from(row.count(10)?).unwrap_or(u32::MAX);
            Some((parse_workload(name, rules)?, author, approvals))
        }
        _ => None,
    };
    Ok(WorkloadRow {
        workload: parse_workload(name, row.get(1)?)?,
        pending,
        description: row.get(4)?,
        origin: origin(row.get(2)?, name)?,
        revoked: row.get::<&str>(3)? == "revoked",
        reason: row.get(7)?,
        revision: row.count(8)?,
        epoch: row.epoch(9)?,
    })
}

/// Without its approvers. Columns: see [`MEASUREMENT_COLUMNS`].
pub(super) fn measurement_row(row: &Row) -> Result<MeasurementRow, Failure> {
    let (workload, name): (String, String) = (row.get(0)?, row.get(1)?);
    let key = format!("{workload}/{name}");
    let bad = |error: String| corrupt("measurement", &key, error);
    let state: MeasurementState = row.get::<&str>(6)?.parse().map_err(|error: &str| bad(error.to_owned()))?;
    let labels: BTreeMap<String, String> =
        serde_json::from_str(row.get(4)?).map_err(|error| bad(error.to_string()))?;
    let pending_author: Option<String> = row.get(12)?;
    let pending = match pending_author {
        Some(author) if state == MeasurementState::Active => Some(PendingValidity {
            not_before: row.optional_time(10)?,
            expires: row.optional_time(11)?,
            author,
        }),
        _ => None,
    };
    Ok(MeasurementRow {
        origin: origin(row.get(2)?, &key)?,
        version: row.get(3)?,
        labels,
        pcrs: pcrs(row.get(5)?, &key)?,
        state,
        not_before: row.optional_time(7)?,
        expires: row.optional_time(8)?,
        author: row.get(9)?,
        pending,
        approvers: Vec::new(),
        created: row.time(13)?,
        revision: row.count(14)?,
        epoch: row.epoch(15)?,
        reason: row.get(16)?,
        workload,
        name,
    })
}

/// Columns: see [`TOMBSTONE_COLUMNS`].
pub(super) fn tombstone_row(row: &Row) -> Result<TombstoneRow, Failure> {
    let (workload, measurement): (String, String) = (row.get(1)?, row.get(2)?);
    Ok(TombstoneRow {
        pcrs: pcrs(row.get(0)?, &format!("{workload}/{measurement}"))?,
        workload,
        measurement,
        epoch: row.epoch(3)?,
        revoked: row.time(4)?,
        author: row.get(5)?,
        reason: row.get(6)?,
    })
}

fn origin(word: &str, row: &str) -> Result<Origin, Failure> {
    match word {
        "file" => Ok(Origin::File),
        "api" => Ok(Origin::Api),
        other => Err(corrupt("row", row, format!("unknown origin \"{other}\"")).into()),
    }
}

macro_rules! workload_columns {
    () => {
        "SELECT w.name, w.rules, w.origin, w.state, w.description, w.pending_rules, w.pending_author, w.reason,
                w.revision, w.epoch,
                (SELECT count(*) FROM approval a
                 WHERE a.workload = w.name AND a.measurement = '' AND a.revision = w.revision)
         FROM workload w"
    };
}
pub(super) use workload_columns;

macro_rules! measurement_columns {
    () => {
        "SELECT m.workload, m.name, m.origin, m.version, m.labels, m.pcrs, m.state, m.not_before_ms, m.expires_ms,
                m.author, m.pending_not_before_ms, m.pending_expires_ms, m.pending_author, m.created_ms,
                m.revision, m.epoch, t.reason
         FROM measurement m LEFT JOIN tombstone t ON t.pcrs = m.pcrs"
    };
}
pub(super) use measurement_columns;

macro_rules! tombstone_columns {
    () => {
        "SELECT t.pcrs, t.workload, t.measurement, t.epoch, t.revoked_ms, t.author, t.reason FROM tombstone t"
    };
}
pub(super) use tombstone_columns;

const WORKLOAD: &str = concat!(workload_columns!(), " WHERE w.name = $1");
const MEASUREMENT: &str = concat!(measurement_columns!(), " WHERE m.workload = $1 AND m.name = $2");

/// The names around a name that is not there, in their order.
const KNOWN_WORKLOADS: &str = "
SELECT name FROM workload WHERE state = 'active'
ORDER BY CASE WHEN substr(name, 1, 3) = substr($1, 1, 3) THEN 0 ELSE 1 END, name LIMIT 10";
const KNOWN_MEASUREMENTS: &str = "
SELECT workload || '/' || name FROM measurement WHERE workload = $1
ORDER BY CASE WHEN substr(name, 1, 2) = substr($2, 1, 2) THEN 0 ELSE 1 END, name LIMIT 10";

const APPROVERS: &str = "
SELECT approver FROM approval WHERE workload = $1 AND measurement = $2 AND revision = $3
ORDER BY at_ms, approver";
