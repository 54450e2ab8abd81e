//! Making the rows that the configuration file keeps what it says.

use std::collections::{HashMap, HashSet};

use countersign_verifier::PcrSet;

use super::{
    SqlStore,
    change::lock::{PolicyChange, Said},
    connection::{Failure, Row},
    policy::{Burial, bury, forget_sessions},
};
use crate::{
    config::{MeasurementState, WorkloadSpec},
    store::{
        ChangeError, Committed, Seeded, UnixMs,
        decide::{covers, might_match},
        texts::{pcrs, pcrs_text, rules_text},
    },
};

impl SqlStore {
    pub(super) async fn seed_policy(&self, specs: &[WorkloadSpec], now: UnixMs) -> Result<Seeded, Failure> {
        let wanted = Wanted::new(specs)?;
        let mut change = PolicyChange::begin(self, now).await?;
        let standing = Standing::read(&mut change).await?;
        let Plan { steps, kept_revoked } = Plan::new(&wanted, &standing)?;
        if steps.is_empty() {
            return Ok(Seeded { committed: standing.committed, changes: Vec::new(), kept_revoked });
        }
        let committed = change.raise().await?;
        for step in &steps {
            step.apply(&mut change, committed).await?;
        }
        let changes: Vec<String> = steps.iter().map(Step::describe).collect();
        let said = Said {
            kind: "policy",
            code: "policy-seeded",
            detail: Some(shortened(&changes)),
            ..Said::default()
        };
        change.say(None, said).await?;
        self.sign_policy_chain(&mut change).await?;
        let committed = change.commit().await?;
        Ok(Seeded { committed, changes, kept_revoked })
    }
}

type Key<'a> = (&'a str, &'a str);

struct Wanted<'a> {
    /// Name and rules, in the file's order.
    workloads: Vec<(&'a str, String)>,
    measurements: Vec<(Key<'a>, WantedMeasurement<'a>)>,
}

struct WantedMeasurement<'a> {
    version: Option<&'a str>,
    pcrs: &'a PcrSet,
    state: MeasurementState,
}

impl<'a> Wanted<'a> {
    fn new(specs: &'a [WorkloadSpec]) -> Result<Self, Failure> {
        let mut wanted = Self { workloads: Vec::new(), measurements: Vec::new() };
        for WorkloadSpec { workload, measurements } in specs {
            wanted.workloads.push((workload.name.as_str(), rules_text(workload)?));
            wanted.measurements.extend(measurements.iter().map(|spec| {
                let measurement = WantedMeasurement {
                    version: spec.version.as_deref(),
                    pcrs: &spec.pcrs,
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
    workloads: HashMap<String, StandingWorkload>,
    measurements: HashMap<(String, String), StandingMeasurement>,
    tombstones: Vec<PcrSet>,
}

struct StandingWorkload {
    from_file: bool,
    active: bool,
    rules: String,
    waiting: bool,
    /// Somebody revoked it: a file does not bring it back.
    revoked_by_somebody: bool,
}

struct StandingMeasurement {
    from_file: bool,
    version: Option<String>,
    pcrs: PcrSet,
    state: String,
}

impl Standing {
    async fn read(change: &mut PolicyChange) -> Result<Self, Failure> {
        let workload = |row: &Row| {
            let standing = StandingWorkload {
                from_file: row.get::<&str>(1)? == "file",
                active: row.get::<&str>(2)? == "active",
                rules: row.get(3)?,
                waiting: row.get::<Option<&str>>(4)?.is_some(),
                revoked_by_somebody: row.get::<Option<&str>>(5)?.is_some(),
            };
            Ok::<_, Failure>((row.get(0)?, standing))
        };
        let measurement = |row: &Row| {
            let key: (String, String) = (row.get(0)?, row.get(1)?);
            let standing = StandingMeasurement {
                from_file: row.get::<&str>(2)? == "file",
                version: row.get(3)?,
                pcrs: pcrs(row.get(4)?, &format!("{}/{}", key.0, key.1))?,
                state: row.get(5)?,
            };
            Ok::<_, Failure>((key, standing))
        };
        let tombstone = |row: &Row| Ok::<_, Failure>(pcrs(row.get(0)?, "tombstone")?);
        let workloads = change.transaction.fetch_all(WORKLOADS, &[]).await?;
        let measurements = change.transaction.fetch_all(MEASUREMENTS, &[]).await?;
        let tombstones = change.transaction.fetch_all(TOMBSTONES, &[]).await?;
        Ok(Self {
            committed: change.committed,
            workloads: workloads.iter().map(workload).collect::<Result<_, _>>()?,
            measurements: measurements.iter().map(measurement).collect::<Result<_, _>>()?,
            tombstones: tombstones.iter().map(tombstone).collect::<Result<_, _>>()?,
        })
    }

    fn buries(&self, pcrs: &PcrSet) -> bool {
        self.tombstones.iter().any(|revoked| covers(revoked, pcrs))
    }
}

struct Plan<'a> {
    steps: Vec<Step<'a>>,
    kept_revoked: Vec<String>,
}

/// One difference between the file and the store.
enum Step<'a> {
    PutWorkload { name: &'a str, rules: &'a str, from_api: bool },
    RemoveWorkload { name: &'a str },
    PutMeasurement { key: Key<'a>, version: Option<&'a str>, pcrs: &'a PcrSet, state: MeasurementState },
    AdoptMeasurement { key: Key<'a>, version: Option<&'a str> },
    SetVersion { key: Key<'a>, version: Option<&'a str> },
    RemoveMeasurement { key: Key<'a> },
}

impl<'a> Plan<'a> {
    fn new(wanted: &'a Wanted<'a>, standing: &'a Standing) -> Result<Self, ChangeError> {
        let mut plan = Self { steps: Vec::new(), kept_revoked: Vec::new() };
        let mut kept = HashSet::new();
        for (name, rules) in &wanted.workloads {
            let stands = standing.workloads.get(*name);
            if stands.is_some_and(|row| row.revoked_by_somebody) {
                plan.kept_revoked.push((*name).to_owned());
                kept.insert(*name);
            } else if stands.is_none_or(|row| !row.is(rules)) {
                let from_api = stands.is_some_and(|row| !row.from_file);
                plan.steps.push(Step::PutWorkload { name, rules, from_api });
            }
        }
        for (key, measurement) in &wanted.measurements {
            if !kept.contains(key.0) {
                plan.measurement(*key, measurement, standing)?;
            }
        }
        let listed: HashSet<Key<'_>> = wanted.measurements.iter().map(|(key, _)| *key).collect();
        for ((workload, name), row) in &standing.measurements {
            let key = (workload.as_str(), name.as_str());
            if row.from_file && row.state != "revoked" && !listed.contains(&key) {
                plan.steps.push(Step::RemoveMeasurement { key });
            }
        }
        for (name, row) in &standing.workloads {
            if row.from_file && row.active && !wanted.workloads.iter().any(|(wanted, _)| wanted == name) {
                plan.steps.push(Step::RemoveWorkload { name });
            }
        }
        Ok(plan)
    }

    fn measurement(
        &mut self,
        key: Key<'a>,
        wanted: &WantedMeasurement<'a>,
        standing: &Standing,
    ) -> Result<(), ChangeError> {
        let WantedMeasurement { version, pcrs, state } = *wanted;
        let buried = standing.buries(pcrs);
        if buried && state != MeasurementState::Revoked {
            self.kept_revoked.push(format!("{}/{}", key.0, key.1));
        }
        let state = if buried { MeasurementState::Revoked } else { state };
        if state != MeasurementState::Revoked {
            clash(key.0, pcrs, standing)?;
        }
        let stands = standing.measurements.get(&(key.0.to_owned(), key.1.to_owned()));
        let step = match stands {
            Some(row) if row.pcrs == *pcrs && row.state == state.as_str() => {
                if !row.from_file {
                    Step::AdoptMeasurement { key, version }
                } else if row.version.as_deref() != version {
                    Step::SetVersion { key, version }
                } else {
                    return Ok(());
                }
            }
            _ => Step::PutMeasurement { key, version, pcrs, state },
        };
        self.steps.push(step);
        Ok(())
    }
}

impl StandingWorkload {
    fn is(&self, rules: &str) -> bool {
        self.from_file && self.active && !self.waiting && self.rules == rules
    }
}

/// Within the file this was checked when it was read; here beside what the API keeps.
fn clash(workload: &str, pcrs: &PcrSet, standing: &Standing) -> Result<(), ChangeError> {
    let clashes = |((other, _), row): &(&(String, String), &StandingMeasurement)| {
        other != workload && !row.from_file && row.state != "revoked" && might_match(&row.pcrs, pcrs)
    };
    match standing.measurements.iter().find(clashes) {
        Some(((other, name), _)) => Err(ChangeError::Overlaps { other: format!("{other}/{name}") }),
        None => Ok(()),
    }
}

impl Step<'_> {
    async fn apply(&self, change: &mut PolicyChange, committed: Committed) -> Result<(), Failure> {
        let epoch = committed.epoch;
        match *self {
            Self::PutWorkload { name, rules, .. } => {
                let values = [name.into(), rules.into(), epoch.into()];
                change.transaction.execute(PUT_WORKLOAD, &values).await?;
            }
            Self::RemoveWorkload { name } => {
                forget_sessions(change, name, None).await?;
                change.transaction.execute(REMOVE_WORKLOAD, &[name.into(), epoch.into()]).await?;
            }
            Self::PutMeasurement { key: (workload, name), version, pcrs, state } => {
                forget_sessions(change, workload, Some(name)).await?;
                let text = pcrs_text(pcrs);
                let values = [
                    workload.into(),
                    name.into(),
                    version.into(),
                    text.as_str().into(),
                    state.as_str().into(),
                    committed.at.into(),
                    epoch.into(),
                ];
                change.transaction.execute(PUT_MEASUREMENT, &values).await?;
                if state == MeasurementState::Revoked {
                    let reason = Some("revoked in the configuration");
                    let burial = Burial { pcrs, name: (workload, name), author: None, reason };
                    bury(change, burial).await?;
                }
            }
            Self::AdoptMeasurement { key: (workload, name), version } => {
                let values = [workload.into(), name.into(), version.into()];
                change.transaction.execute(ADOPT, &values).await?;
            }
            Self::SetVersion { key: (workload, name), version } => {
                let values = [workload.into(), name.into(), version.into()];
                change.transaction.execute(SET_VERSION, &values).await?;
            }
            Self::RemoveMeasurement { key: (workload, name) } => {
                forget_sessions(change, workload, Some(name)).await?;
                let values = [workload.into(), name.into(), epoch.into()];
                change.transaction.execute(REMOVE_MEASUREMENT, &values).await?;
            }
        }
        Ok(())
    }

    /// For the audit and the log.
    fn describe(&self) -> String {
        match self {
            Self::PutWorkload { name, from_api: false, .. } => format!("workload {name} set"),
            Self::PutWorkload { name, from_api: true, .. } => {
                format!("workload {name} set, taken over from the API")
            }
            Self::RemoveWorkload { name } => format!("workload {name} removed"),
            Self::PutMeasurement { key: (workload, name), state, .. } => {
                format!("measurement {workload}/{name} {state}")
            }
            Self::AdoptMeasurement { key: (workload, name), .. } => {
                format!("measurement {workload}/{name} taken over from the API")
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

/// One text of all changes; a file of thousands is told by its beginning.
fn shortened(changes: &[String]) -> String {
    let mut text = changes.iter().take(MOST_TOLD).cloned().collect::<Vec<_>>().join("; ");
    if let Some(rest @ 1..) = changes.len().checked_sub(MOST_TOLD) {
        text.push_str(&format!("; and {rest} more"));
    }
    text
}

/// Changes that the audit row tells one by one.
const MOST_TOLD: usize = 200;

const WORKLOADS: &str = "SELECT name, origin, state, rules, pending_rules, revoked_by FROM workload";
const MEASUREMENTS: &str = "SELECT workload, name, origin, version, pcrs, state FROM measurement";
const TOMBSTONES: &str = "SELECT pcrs FROM tombstone";

const PUT_WORKLOAD: &str = "
INSERT INTO workload (name, origin, state, rules, revision, epoch) VALUES ($1, 'file', 'active', $2, 1, $3)
ON CONFLICT (name) DO UPDATE SET
    origin = 'file', state = 'active', rules = excluded.rules, epoch = excluded.epoch,
    pending_rules = NULL, pending_author = NULL, revision = workload.revision + 1";

const REMOVE_WORKLOAD: &str =
    "UPDATE workload SET state = 'revoked', epoch = $2, revision = revision + 1 WHERE name = $1";

const PUT_MEASUREMENT: &str = "
INSERT INTO measurement (workload, name, origin, version, pcrs, state, created_ms, revision, epoch)
VALUES ($1, $2, 'file', $3, $4, $5, $6, 1, $7)
ON CONFLICT (workload, name) DO UPDATE SET
    origin = 'file', version = excluded.version, labels = '{}', pcrs = excluded.pcrs, state = excluded.state,
    not_before_ms = NULL, expires_ms = NULL, author = NULL, pending_not_before_ms = NULL,
    pending_expires_ms = NULL, pending_author = NULL, revision = measurement.revision + 1,
    epoch = excluded.epoch";

/// Its PCRs and its state are what they were: its sessions stand.
const ADOPT: &str = "
UPDATE measurement SET origin = 'file', version = $3, labels = '{}', not_before_ms = NULL, expires_ms = NULL,
       author = NULL, pending_not_before_ms = NULL, pending_expires_ms = NULL, pending_author = NULL,
       revision = revision + 1
WHERE workload = $1 AND name = $2";

const SET_VERSION: &str = "
UPDATE measurement SET version = $3, revision = revision + 1 WHERE workload = $1 AND name = $2";

const REMOVE_MEASUREMENT: &str = "
UPDATE measurement SET state = 'revoked', epoch = $3, revision = revision + 1 WHERE workload = $1 AND name = $2";
