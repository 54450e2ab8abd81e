use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use countersign_protocol::Epoch;
use countersign_verifier::{Measurement, MeasurementError, Pcr, PcrIndex, PcrSet, ReferenceValues};

use super::{Workload, WorkloadName};
use crate::{config::MeasurementState, store::StoredPolicy};

/// One version of the allow policy. Never changed: a newer one replaces it whole.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Its version.
    pub epoch: Epoch,
    /// Every workload that stands, by name.
    pub workloads: HashMap<WorkloadName, Arc<Workload>>,
    /// What admits, by `workload/name`.
    admitting: HashMap<String, Admitting>,
    /// The same for the verifier, named `workload/name`.
    references: ReferenceValues,
    /// PCR0 of everything that admits or was revoked: most strangers end here.
    known_images: HashSet<Pcr>,
    /// Sets of PCRs that were revoked; they deny before anything allows.
    revoked: Vec<(PcrSet, String)>,
}

/// A measurement that admits, and what it admits to.
#[derive(Clone, Debug)]
pub struct Admitting {
    /// The workload.
    pub workload: Arc<Workload>,
    /// The measurement's name within the workload.
    pub name: Arc<str>,
    /// Its PCRs.
    pub pcrs: PcrSet,
    /// The epoch that made it what it is.
    pub epoch: Epoch,
}

impl Policy {
    /// Puts together what the store holds.
    ///
    /// # Errors
    /// A stored measurement without PCR0, 1 and 2.
    pub fn from_store(stored: StoredPolicy) -> Result<Self, MeasurementError> {
        let StoredPolicy { committed, workloads, measurements, tombstones } = stored;
        let mut policy = Self { epoch: committed.epoch, revoked: tombstones, ..Self::default() };
        for workload in workloads {
            policy.workloads.insert(workload.name.clone(), Arc::new(workload));
        }
        for (pcrs, _) in &policy.revoked {
            policy.known_images.extend(pcrs.get(PcrIndex::PCR0));
        }
        for measurement in measurements {
            let workload =
                measurement.workload.parse().ok().and_then(|name: WorkloadName| policy.workloads.get(&name));
            let (MeasurementState::Active, Some(workload)) = (measurement.state, workload) else { continue };
            if policy.revocation(&measurement.pcrs).is_some() {
                continue;
            }
            let full = format!("{}/{}", measurement.workload, measurement.name);
            let values = measurement.pcrs.iter().map(|(index, value)| (index, *value));
            policy.references.insert(Measurement::new(full.clone(), values)?);
            policy.known_images.extend(measurement.pcrs.get(PcrIndex::PCR0));
            let admitting = Admitting {
                workload: Arc::clone(workload),
                name: measurement.name.into(),
                pcrs: measurement.pcrs,
                epoch: measurement.epoch,
            };
            policy.admitting.insert(full, admitting);
        }
        Ok(policy)
    }

    /// What evidence is appraised against; the names are keys of [`Self::admitting`].
    pub fn references(&self) -> &ReferenceValues {
        &self.references
    }

    /// The measurement behind a name in [`Self::references`], or `workload/name`.
    pub fn admitting(&self, full_name: &str) -> Option<&Admitting> {
        self.admitting.get(full_name)
    }

    /// Every measurement that admits, in no order.
    pub fn all_admitting(&self) -> impl Iterator<Item = &Admitting> {
        self.admitting.values()
    }

    /// Whether any measurement, revoked ones included, has this PCR0.
    pub fn knows_image(&self, pcrs: &PcrSet) -> bool {
        pcrs.get(PcrIndex::PCR0).is_some_and(|pcr0| self.known_images.contains(pcr0))
    }

    /// The revoked measurement that these PCRs match, if any: it denies,
    /// whatever else would allow.
    pub fn revocation(&self, pcrs: &PcrSet) -> Option<&str> {
        let matches = |(revoked, _): &&(PcrSet, String)| {
            revoked.iter().all(|(index, value)| pcrs.get(index) == Some(value))
        };
        self.revoked.iter().find(matches).map(|(_, name)| name.as_str())
    }

    /// Whether a session admitted through `measurement` of `workload` by the
    /// policy `before` still stands under this one.
    pub(super) fn verdict(&self, before: &Self, workload: &Workload, measurement: &str) -> Verdict {
        let Some(now) = self.workloads.get(&workload.name) else { return Verdict::WorkloadGone };
        let full = format!("{}/{measurement}", workload.name);
        match (before.admitting.get(&full), self.admitting.get(&full)) {
            (Some(was), Some(is)) if was.epoch == is.epoch && !self.newly_revoked_near(before, &is.pcrs) => {
                if is_narrower(workload, now) {
                    Verdict::RulesNarrower
                } else {
                    Verdict::Stands
                }
            }
            _ => Verdict::MeasurementGone,
        }
    }

    /// Whether something was revoked that a session with these PCRs *might*
    /// have matched: a session does not remember the PCRs its measurement left open.
    fn newly_revoked_near(&self, before: &Self, pcrs: &PcrSet) -> bool {
        let might = |revoked: &PcrSet| {
            revoked.iter().all(|(index, value)| pcrs.get(index).is_none_or(|other| other == value))
        };
        self.revoked
            .iter()
            .any(|(revoked, _)| might(revoked) && !before.revoked.iter().any(|(known, _)| known == revoked))
    }
}

/// What a new policy means for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Stands,
    WorkloadGone,
    MeasurementGone,
    RulesNarrower,
}

/// Whether something allowed before is not any more: then sessions of the workload end.
pub(crate) fn is_narrower(was: &Workload, is: &Workload) -> bool {
    let Workload { name: _, destinations, addresses, lease_bounds, limits } = was;
    !destinations.is_subset(&is.destinations)
        || !addresses.iter().all(|net| is.addresses.contains(net))
        || lease_bounds.max() > is.lease_bounds.max()
        || limits.max_tunnels_per_session > is.limits.max_tunnels_per_session
}
