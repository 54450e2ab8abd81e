use std::collections::HashSet;

use countersign_verifier::PcrSet;

use super::{
    state::{Key, Standing, StandingMeasurement, Wanted, WantedMeasurement},
    step::Step,
};
use crate::{
    config::MeasurementState,
    store::{ChangeError, decide::might_match},
};

/// What must be done, and what the file lists and somebody has revoked.
pub(super) struct Plan<'a> {
    pub(super) steps: Vec<Step<'a>>,
    pub(super) kept_revoked: Vec<String>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(wanted: &'a Wanted<'a>, standing: &'a Standing) -> Result<Self, ChangeError> {
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
