//! Decisions about changes: what clashes, what waits, who may approve. Pure.

use countersign_protocol::LeaseBounds;
use countersign_verifier::{PcrIndex, PcrSet};
use ipnet::IpNet;

use super::{ChangeError, MeasurementEdit, NewMeasurement, UnixMs};
use crate::policy::{Limits, Workload, check_name};

/// Whether every enclave that has all of `pcrs` has all of `revoked`.
pub(super) fn covers(revoked: &PcrSet, pcrs: &PcrSet) -> bool {
    revoked.iter().all(|(index, value)| pcrs.get(index) == Some(value))
}

/// Whether an enclave may have all of both: no PCR that both name differs.
pub(super) fn might_match(a: &PcrSet, b: &PcrSet) -> bool {
    a.iter().all(|(index, value)| b.get(index).is_none_or(|other| other == value))
}

/// A measurement that stands: its name and PCRs.
pub(super) struct Standing {
    pub(super) workload: String,
    pub(super) name: String,
    pub(super) pcrs: PcrSet,
}

/// Whether a set of PCRs may be added to a workload, beside what stands and what was revoked.
pub(super) fn place(
    workload: &str,
    pcrs: &PcrSet,
    standing: &[Standing],
    buried: &[(PcrSet, String)],
) -> Result<(), ChangeError> {
    if let Some((_, measurement)) = buried.iter().find(|(revoked, _)| covers(revoked, pcrs)) {
        return Err(ChangeError::Buried { measurement: measurement.clone() });
    }
    for other in standing {
        let full = || format!("{}/{}", other.workload, other.name);
        if other.workload == workload && other.pcrs == *pcrs {
            return Err(ChangeError::SamePcrs { other: full() });
        }
        if other.workload != workload && might_match(&other.pcrs, pcrs) {
            return Err(ChangeError::Overlaps { other: full() });
        }
    }
    Ok(())
}

/// Whether a new measurement makes sense by itself, and what its author should know.
pub(super) fn check_new(measurement: &NewMeasurement, now: UnixMs) -> Result<Vec<String>, ChangeError> {
    let NewMeasurement { name, pcrs, edit } = measurement;
    check_name(name).map_err(|error| invalid("name", error.to_string()))?;
    let needed = [PcrIndex::PCR0, PcrIndex::PCR1, PcrIndex::PCR2];
    if let Some(missing) = needed.into_iter().find(|index| pcrs.get(*index).is_none()) {
        return Err(invalid("pcrs", format!("{missing} is missing: a measurement has PCR0, 1 and 2")));
    }
    if pcrs.is_debug() {
        let reason = "PCR0, 1 and 2 are zeros, which is what any enclave in debug mode has";
        return Err(invalid("pcrs", reason.to_owned()));
    }
    check_edit(edit, now)?;
    let pinned = |index: &u64| PcrIndex::new(*index).and_then(|index| pcrs.get(index)).is_some();
    Ok(if PINS.iter().any(pinned) { Vec::new() } else { vec![NOTHING_PINNED.to_owned()] })
}

/// Whether what people read of a measurement, and its validity, makes sense.
pub(super) fn check_edit(edit: &MeasurementEdit, now: UnixMs) -> Result<(), ChangeError> {
    let MeasurementEdit { version, labels, not_before, expires } = edit;
    if version.as_ref().is_some_and(|version| version.len() > LONGEST_TEXT) {
        return Err(invalid("version", format!("it has more than {LONGEST_TEXT} bytes")));
    }
    if labels.len() > MOST_LABELS {
        return Err(invalid("labels", format!("there are more than {MOST_LABELS}")));
    }
    if labels.iter().any(|(key, value)| key.is_empty() || key.len() + value.len() > LONGEST_TEXT) {
        return Err(invalid("labels", format!("a label has a key, and at most {LONGEST_TEXT} bytes")));
    }
    if expires.is_some_and(|expires| expires <= now) {
        return Err(invalid("expires", "it lies in the past: revoke the measurement instead".to_owned()));
    }
    if let (Some(from), Some(to)) = (not_before, expires)
        && from >= to
    {
        return Err(invalid("not_before", "it does not lie before expires".to_owned()));
    }
    Ok(())
}

/// From when, and before when, a measurement admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Option<UnixMs>,
    pub(super) expires: Option<UnixMs>,
}

impl Validity {
    /// What both allow.
    pub(super) fn meet(self, other: Self) -> Self {
        let expires = match (self.expires, other.expires) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { not_before: self.not_before.max(other.not_before), expires }
    }
}

/// The rules of a workload that nobody has allowed anything yet.
pub(super) fn nothing_allowed(wanted: &Workload) -> Workload {
    Workload {
        name: wanted.name.clone(),
        destinations: Default::default(),
        addresses: Vec::new(),
        lease_bounds: wanted.lease_bounds,
        limits: Limits {
            max_sessions: 0,
            max_tunnels_per_session: 0,
            // A rate alone lets nobody in.
            max_bytes_per_second: wanted.limits.max_bytes_per_second,
        },
    }
}

/// What both the rules in force and the wanted ones allow: that much needs nobody's approval.
pub(super) fn meet(in_force: &Workload, wanted: &Workload) -> Workload {
    let Workload { name, destinations, addresses, lease_bounds, limits } = wanted;
    let allowed = destinations.iter().filter(|destination| in_force.destinations.allows(destination));
    let max = lease_bounds.max().min(in_force.lease_bounds.max());
    let min = lease_bounds.min().min(max);
    Workload {
        name: name.clone(),
        destinations: allowed.cloned().collect(),
        addresses: common_networks(&in_force.addresses, addresses),
        lease_bounds: LeaseBounds::new(min, max).unwrap_or(in_force.lease_bounds),
        limits: Limits {
            max_sessions: limits.max_sessions.min(in_force.limits.max_sessions),
            max_tunnels_per_session: limits
                .max_tunnels_per_session
                .min(in_force.limits.max_tunnels_per_session),
            max_bytes_per_second: match (in_force.limits.max_bytes_per_second, limits.max_bytes_per_second) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        },
    }
}

/// Whether `wanted` allows something that `in_force` does not.
pub(super) fn allows_more(in_force: &Workload, wanted: &Workload) -> bool {
    let Workload { name: _, destinations, addresses, lease_bounds, limits } = wanted;
    !destinations.is_subset(&in_force.destinations)
        || !addresses.iter().all(|net| in_force.addresses.iter().any(|other| other.contains(net)))
        || lease_bounds.max() > in_force.lease_bounds.max()
        || limits.max_sessions > in_force.limits.max_sessions
        || limits.max_tunnels_per_session > in_force.limits.max_tunnels_per_session
        || in_force
            .limits
            .max_bytes_per_second
            .is_some_and(|was| limits.max_bytes_per_second.is_none_or(|is| is > was))
}

/// Of two networks one contains the other, or they have nothing in common.
fn common_networks(a: &[IpNet], b: &[IpNet]) -> Vec<IpNet> {
    let inside = |nets: &[IpNet], net: &IpNet| nets.iter().any(|other| other.contains(net));
    let mut common: Vec<IpNet> = b.iter().filter(|net| inside(a, net)).copied().collect();
    common.extend(a.iter().filter(|net| inside(b, net)));
    common.sort_unstable();
    common.dedup();
    common
}

/// Whether somebody may say yes to what `authors` wrote and `approvers` have approved so far.
pub(super) fn may_approve(
    subject: &str,
    authors: &[Option<&str>],
    approvers: &[String],
) -> Result<(), ChangeError> {
    if authors.contains(&Some(subject)) {
        return Err(ChangeError::OwnApproval { subject: subject.to_owned() });
    }
    if approvers.iter().any(|approver| approver == subject) {
        return Err(ChangeError::AlreadyApproved { subject: subject.to_owned() });
    }
    Ok(())
}

pub(super) fn invalid(field: &'static str, reason: String) -> ChangeError {
    ChangeError::Invalid { field, reason }
}

/// The role of the instance (3), the instance (4), the signer (8), what the image extends (16).
const PINS: [u64; 4] = [3, 4, 8, 16];

const NOTHING_PINNED: &str =
    "no PCR3, 4, 8 or 16 is pinned: anyone may run this image on a machine of theirs and be admitted";

/// The longest version, and the longest label with its key, in bytes.
const LONGEST_TEXT: usize = 256;

/// The most labels of one measurement.
const MOST_LABELS: usize = 32;
