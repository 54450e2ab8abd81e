use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    policy::Policy,
    session::Admission,
    store::{SessionRow, UnixMs},
};

/// What a stored session is worth under this policy: the admission that it would be
/// given now.
///
/// # Errors
/// [`NotWorth`].
pub fn admission(policy: &Policy, row: &SessionRow) -> Result<Admission, NotWorth> {
    let full = format!("{}/{}", row.workload, row.measurement);
    let admitting = policy.admitting(&full).ok_or(NotWorth::NotAllowed)?;
    // Admitted before the measurement became what it is now: by other PCRs.
    if row.epoch < admitting.epoch {
        return Err(NotWorth::OlderThanMeasurement);
    }
    Ok(Admission {
        workload: Arc::clone(&admitting.workload),
        measurement: Arc::clone(&admitting.name),
        key: row.key,
        boot_id: row.boot_id,
        sequence: row.sequence,
        lease: row.lease,
        epoch: row.epoch,
        // Its instance counts it where it attests.
        instance: None,
    })
}

/// When a stored lease ends by this process's monotonic clock. The store has wall
/// clocks, of two machines; neither makes a lease longer than it was given, nor longer
/// than the workload allows now.
pub fn ends(row: &SessionRow, admission: &Admission, wall: UnixMs, now: Instant) -> Instant {
    let left = Duration::from_millis(row.lease_ends.since(wall));
    now + left.min(row.lease.duration()).min(admission.workload.lease_bounds.max().duration())
}

/// Why a stored session is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWorth {
    /// Its measurement admits nobody: revoked, pending, or not in its time.
    NotAllowed,
    /// Its measurement was something else then.
    OlderThanMeasurement,
}

impl fmt::Display for NotWorth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAllowed => "its measurement is not allowed now",
            Self::OlderThanMeasurement => "its measurement changed since it was admitted",
        })
    }
}

impl std::error::Error for NotWorth {}
