//! Making the stored policy what the configuration says.

use std::collections::{HashMap, HashSet};

use sqlx::{Row, SqliteConnection};

use super::{
    Committed, Seeded, SqliteStore, StoreError, UnixMs,
    error::doing,
    rules::{pcrs_text, rules_text},
    sqlite::committed,
    sqlite_policy::{audit, bury, raise_epoch},
};
use crate::config::{MeasurementState, WorkloadSpec};

pub(super) async fn seed(
    store: &SqliteStore,
    specs: &[WorkloadSpec],
    now: UnixMs,
) -> Result<Seeded, StoreError> {
    let fail = || doing("seed the policy");
    let wanted = Wanted::new(specs)?;
    let mut transaction = store.policy.begin_with("BEGIN IMMEDIATE").await.map_err(fail())?;
    let standing = Standing::read(&mut transaction).await.map_err(fail())?;
    let (steps, kept_revoked) = plan(&wanted, &standing);
    if steps.is_empty() {
        return Ok(Seeded { committed: standing.committed, changes: Vec::new(), kept_revoked });
    }
    let committed = raise_epoch(&mut transaction, now).await.map_err(fail())?;
    for step in &steps {
        step.apply(&mut transaction, committed).await.map_err(fail())?;
    }
    let changes: Vec<String> = steps.iter().map(Step::describe).collect();
    audit(&mut transaction, committed, "policy-seeded", None, &changes.join("; ")).await.map_err(fail())?;
    transaction.commit().await.map_err(fail())?;
    Ok(Seeded { committed, changes, kept_revoked })
}

type Key<'a> = (&'a str, &'a str);

struct Wanted<'a> {
    /// Name and rules, in the file's order.
    workloads: Vec<(&'a str, String)>,
    measurements: Vec<(Key<'a>, WantedMeasurement<'a>)>,
}

struct WantedMeasurement<'a> {
    version: Option<&'a str>,
    pcrs: String,
    state: MeasurementState,
}

impl<'a> Wanted<'a> {
    fn new(specs: &'a [WorkloadSpec]) -> Result<Self, StoreError> {
        let mut wanted = Self { workloads: Vec::new(), measurements: Vec::new() };
        for WorkloadSpec { workload, measurements } in specs {
            wanted.workloads.push((workload.name.as_str(), rules_text(workload)?));
            wanted.measurements.extend(measurements.iter().map(|spec| {
                let measurement = WantedMeasurement {
                    version: spec.version.as_deref(),
                    pcrs: pcrs_text(&spec.pcrs),
                    state: spec.state,
                };
                ((workload.name.as_str(), spec.name.as_str()), measurement)
            }));
        }
        Ok(wanted)
    }
}

struct Standing {
    committed: Committed,
    /// Name to state and rules.
    workloads: HashMap<String, (String, String)>,
    /// Workload and name to version, PCRs and state.
    measurements: HashMap<(String, String), (Option<String>, String, String)>,
    tombstones: HashSet<String>,
}

impl Standing {
    async fn read(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let policy = sqlx::query("SELECT epoch, committed_ms FROM policy WHERE id = 1");
        let policy = policy.fetch_one(&mut *connection).await?;
        let workloads =
            sqlx::query("SELECT name, state, rules FROM workload").fetch_all(&mut *connection).await?;
        let measurements = sqlx::query("SELECT workload, name, version, pcrs, state FROM measurement");
        let measurements = measurements.fetch_all(&mut *connection).await?;
        let tombstones = sqlx::query("SELECT pcrs FROM tombstone").fetch_all(&mut *connection).await?;
        Ok(Self {
            committed: committed(&policy),
            workloads: workloads.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect(),
            measurements: measurements
                .iter()
                .map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3), row.get(4))))
                .collect(),
            tombstones: tombstones.iter().map(|row| row.get(0)).collect(),
        })
    }
}

/// One difference between the file and the store.
enum Step<'a> {
    PutWorkload { name: &'a str, rules: &'a str },
    RemoveWorkload { name: &'a str },
    PutMeasurement { key: Key<'a>, version: Option<&'a str>, pcrs: &'a str, state: MeasurementState },
    SetVersion { key: Key<'a>, version: Option<&'a str> },
    RemoveMeasurement { key: Key<'a> },
}

fn plan<'a>(wanted: &'a Wanted<'a>, standing: &'a Standing) -> (Vec<Step<'a>>, Vec<String>) {
    let mut steps = Vec::new();
    let mut kept_revoked = Vec::new();
    for (name, rules) in &wanted.workloads {
        let stands = standing.workloads.get(*name);
        if stands.is_none_or(|(state, stored)| state != "active" || stored != rules) {
            steps.push(Step::PutWorkload { name, rules });
        }
    }
    for (key, WantedMeasurement { version, pcrs, state }) in &wanted.measurements {
        let buried = standing.tombstones.contains(pcrs);
        if buried && *state != MeasurementState::Revoked {
            kept_revoked.push(format!("{}/{}", key.0, key.1));
        }
        let state = if buried { MeasurementState::Revoked } else { *state };
        let stands = standing.measurements.get(&(key.0.to_owned(), key.1.to_owned()));
        match stands {
            Some((_, stored, stored_state)) if stored == pcrs && stored_state == state.as_str() => {
                if stands.is_some_and(|(stored, ..)| stored.as_deref() != *version) {
                    steps.push(Step::SetVersion { key: *key, version: *version });
                }
            }
            _ => steps.push(Step::PutMeasurement { key: *key, version: *version, pcrs, state }),
        }
    }
    for ((workload, name), (_, _, state)) in &standing.measurements {
        let key = (workload.as_str(), name.as_str());
        if state != "revoked" && !wanted.measurements.iter().any(|(wanted, _)| *wanted == key) {
            steps.push(Step::RemoveMeasurement { key });
        }
    }
    for (name, (state, _)) in &standing.workloads {
        if state == "active" && !wanted.workloads.iter().any(|(wanted, _)| wanted == name) {
            steps.push(Step::RemoveWorkload { name });
        }
    }
    (steps, kept_revoked)
}

impl Step<'_> {
    async fn apply(
        &self,
        connection: &mut SqliteConnection,
        committed: Committed,
    ) -> Result<(), sqlx::Error> {
        let epoch = committed.epoch.0.cast_signed();
        let query = match self {
            Self::PutWorkload { name, rules } => sqlx::query(
                "INSERT INTO workload (name, state, rules, epoch) VALUES (?1, 'active', ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET state = 'active', rules = excluded.rules, epoch = excluded.epoch",
            )
            .bind(name)
            .bind(rules)
            .bind(epoch),
            Self::RemoveWorkload { name } => {
                forget_sessions(connection, name, None).await?;
                sqlx::query("UPDATE workload SET state = 'revoked', epoch = ?2 WHERE name = ?1").bind(name).bind(epoch)
            }
            Self::PutMeasurement { key: (workload, name), version, pcrs, state } => {
                forget_sessions(connection, workload, Some(name)).await?;
                sqlx::query(
                    "INSERT INTO measurement (workload, name, version, pcrs, state, epoch)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (workload, name) DO UPDATE SET
                        version = excluded.version, pcrs = excluded.pcrs, state = excluded.state, epoch = excluded.epoch",
                )
                .bind(workload)
                .bind(name)
                .bind(version)
                .bind(pcrs)
                .bind(state.as_str())
                .bind(epoch)
            }
            Self::SetVersion { key: (workload, name), version } => {
                sqlx::query("UPDATE measurement SET version = ?3 WHERE workload = ?1 AND name = ?2")
                    .bind(workload)
                    .bind(name)
                    .bind(version)
            }
            Self::RemoveMeasurement { key: (workload, name) } => {
                forget_sessions(connection, workload, Some(name)).await?;
                sqlx::query("UPDATE measurement SET state = 'revoked', epoch = ?3 WHERE workload = ?1 AND name = ?2")
                    .bind(workload)
                    .bind(name)
                    .bind(epoch)
            }
        };
        query.execute(&mut *connection).await?;
        if let Self::PutMeasurement { key, pcrs, state: MeasurementState::Revoked, .. } = self {
            bury(connection, pcrs, *key, committed, Some("revoked in the configuration")).await?;
        }
        Ok(())
    }

    /// For the audit and the log.
    fn describe(&self) -> String {
        match self {
            Self::PutWorkload { name, .. } => format!("workload {name} set"),
            Self::RemoveWorkload { name } => format!("workload {name} removed"),
            Self::PutMeasurement { key: (workload, name), state, .. } => {
                format!("measurement {workload}/{name} {state}")
            }
            Self::SetVersion { key: (workload, name), .. } => {
                format!("measurement {workload}/{name} version set")
            }
            Self::RemoveMeasurement { key: (workload, name) } => {
                format!("measurement {workload}/{name} removed")
            }
        }
    }
}

/// What was admitted by another rule is not found again after a restart.
async fn forget_sessions(
    connection: &mut SqliteConnection,
    workload: &str,
    measurement: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM session WHERE workload = ?1 AND (?2 IS NULL OR measurement = ?2)")
        .bind(workload)
        .bind(measurement)
        .execute(connection)
        .await
        .map(drop)
}
