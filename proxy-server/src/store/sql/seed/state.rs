//! What the file wants, and what stands.

use std::collections::HashMap;

use countersign_verifier::PcrSet;

use crate::{
    config::{MeasurementState, WorkloadSpec},
    store::{
        Committed,
        decide::covers,
        sql::{
            change::lock::PolicyChange,
            connection::{Failure, Row},
        },
        texts::{pcrs, rules_text},
    },
};

pub(super) type Key<'a> = (&'a str, &'a str);

pub(super) struct Wanted<'a> {
    /// Name and rules, in the file's order.
    pub(super) workloads: Vec<(&'a str, String)>,
    pub(super) measurements: Vec<(Key<'a>, WantedMeasurement<'a>)>,
}

pub(super) struct WantedMeasurement<'a> {
    pub(super) version: Option<&'a str>,
    pub(super) pcrs: &'a PcrSet,
    pub(super) state: MeasurementState,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(specs: &'a [WorkloadSpec]) -> Result<Self, Failure> {
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

pub(super) struct Standing {
    pub(super) committed: Committed,
    pub(super) workloads: HashMap<String, StandingWorkload>,
    pub(super) measurements: HashMap<(String, String), StandingMeasurement>,
    pub(super) tombstones: Vec<PcrSet>,
}

pub(super) struct StandingWorkload {
    pub(super) from_file: bool,
    pub(super) active: bool,
    pub(super) rules: String,
    pub(super) waiting: bool,
    /// Somebody revoked it: a file does not bring it back.
    pub(super) revoked_by_somebody: bool,
}

pub(super) struct StandingMeasurement {
    pub(super) from_file: bool,
    pub(super) version: Option<String>,
    pub(super) pcrs: PcrSet,
    pub(super) state: String,
}

impl Standing {
    pub(super) async fn read(change: &mut PolicyChange) -> Result<Self, Failure> {
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

    pub(super) fn buries(&self, pcrs: &PcrSet) -> bool {
        self.tombstones.iter().any(|revoked| covers(revoked, pcrs))
    }
}

impl StandingWorkload {
    pub(super) fn is(&self, rules: &str) -> bool {
        self.from_file && self.active && !self.waiting && self.rules == rules
    }
}

const WORKLOADS: &str = "SELECT name, origin, state, rules, pending_rules, revoked_by FROM workload";
const MEASUREMENTS: &str = "SELECT workload, name, origin, version, pcrs, state FROM measurement";
const TOMBSTONES: &str = "SELECT pcrs FROM tombstone";
