use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use countersign_protocol::Epoch;
use countersign_verifier::{Measurement, MeasurementError, Pcr, PcrIndex, PcrSet, ReferenceValues};

use super::window::Window;
use super::{Workload, WorkloadName};
use crate::{
    config::MeasurementState,
    store::{StoredPolicy, UnixMs},
};

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
    /// Measurements whose time is over, by `workload/name`: why their sessions end.
    expired: HashSet<String>,
    /// When this is what the store's policy means. Outside of it, it means something else.
    window: Window,
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
    /// Puts together what the store holds, as it counts at `now`: a measurement admits
    /// from its not-before on and until its expiry. [`Self::holds_at`] tells for how long
    /// that stays so.
    ///
    /// # Errors
    /// A stored measurement without PCR0, 1 and 2.
    pub fn from_store(stored: &StoredPolicy, now: UnixMs) -> Result<Self, MeasurementError> {
        let StoredPolicy { committed, workloads, measurements, tombstones } = stored;
        let mut policy = Self { epoch: committed.epoch, revoked: tombstones.clone(), ..Self::default() };
        for workload in workloads {
            policy.workloads.insert(workload.name.clone(), Arc::new(workload.clone()));
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
            policy.window.narrow(measurement.not_before, now);
            policy.window.narrow(measurement.expires, now);
            if measurement.expires.is_some_and(|expires| expires <= now) {
                policy.expired.insert(full);
                continue;
            }
            if measurement.not_before.is_some_and(|not_before| now < not_before) {
                continue;
            }
            let values = measurement.pcrs.iter().map(|(index, value)| (index, *value));
            policy.references.insert(Measurement::new(full.clone(), values)?);
            policy.known_images.extend(measurement.pcrs.get(PcrIndex::PCR0));
            let admitting = Admitting {
                workload: Arc::clone(workload),
                name: measurement.name.as_str().into(),
                pcrs: measurement.pcrs.clone(),
                epoch: measurement.epoch,
            };
            policy.admitting.insert(full, admitting);
        }
        Ok(policy)
    }

    /// Whether this is what the store's policy means at `now`: no measurement begins or
    /// ends to count between the moment it was made for and then, either way.
    pub fn holds_at(&self, now: UnixMs) -> bool {
        self.window.covers(now)
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
            (_, None) if self.expired.contains(&full) => Verdict::MeasurementExpired,
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
    MeasurementExpired,
    RulesNarrower,
}

/// Whether something allowed before is not any more: then sessions of the workload end.
pub(crate) fn is_narrower(was: &Workload, is: &Workload) -> bool {
    let Workload { name: _, destinations, addresses, lease_bounds, limits } = was;
    !destinations.is_subset(&is.destinations)
        || !addresses.iter().all(|net| is.addresses.contains(net))
        || lease_bounds.max() > is.lease_bounds.max()
        || limits.max_tunnels_per_session > is.limits.max_tunnels_per_session
        || is
            .limits
            .max_bytes_per_second
            .is_some_and(|is| limits.max_bytes_per_second.is_none_or(|was| was > is))
}
