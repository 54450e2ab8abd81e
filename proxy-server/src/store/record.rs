use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use countersign_protocol::{BootId, Epoch, KeyThumbprint, Lease, SessionId};
use countersign_verifier::PcrSet;

pub use crate::audit::Event as AuditEvent;
use crate::{config::MeasurementState, policy::Workload};

/// Milliseconds since 1970, as the store keeps time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// The system's clock, now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// The same, never negative.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0).unwrap_or(0)
    }

    /// How many milliseconds `earlier` lies before this; 0 when it does not.
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        countersign_verifier::UnixMillis::from_millis(self.as_millis()).fmt(f)
    }
}

/// The version of the policy, and when its transaction was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The version.
    pub epoch: Epoch,
    /// The clock of whoever made the change.
    pub at: UnixMs,
}

/// Everything that decides who may pass, from one point in time.
#[derive(Clone, Debug)]
pub struct StoredPolicy {
    /// Its version.
    pub committed: Committed,
    /// Workloads that stand.
    pub workloads: Vec<Workload>,
    /// Measurements of those workloads, of every state.
    pub measurements: Vec<StoredMeasurement>,
    /// Every set of PCRs that was ever revoked, with `workload/measurement`.
    pub tombstones: Vec<(PcrSet, String)>,
}

/// A measurement as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMeasurement {
    /// Its workload's name.
    pub workload: String,
    /// Its name, unique in the workload.
    pub name: String,
    /// Its PCRs.
    pub pcrs: PcrSet,
    /// What it is worth.
    pub state: MeasurementState,
    /// The epoch that made its PCRs and its state what they are: sessions older
    /// than that were admitted by something else.
    pub epoch: Epoch,
    /// Admits from then on.
    pub not_before: Option<UnixMs>,
    /// Admits before then.
    pub expires: Option<UnixMs>,
}

/// What seeding did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeded {
    /// The version afterwards.
    pub committed: Committed,
    /// One line for each change; none means that the epoch stayed.
    pub changes: Vec<String>,
    /// Measurements that the file lists and the store keeps revoked.
    pub kept_revoked: Vec<String>,
}

/// A session as it outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Its key.
    pub key: KeyThumbprint,
    /// Its workload's name.
    pub workload: String,
    /// Its measurement's name.
    pub measurement: String,
    /// The boot that attested.
    pub boot_id: BootId,
    /// The last sequence number of that boot.
    pub sequence: u64,
    /// The lease given.
    pub lease: Lease,
    /// When it lapses.
    pub lease_ends: UnixMs,
    /// The policy that admitted it.
    pub epoch: Epoch,
    /// The EC2 instance and enclave that the evidence names.
    pub module_id: Option<String>,
    /// The replica that admitted or renewed it last.
    pub replica: Option<[u8; 16]>,
    /// When it was first admitted.
    pub admitted: UnixMs,
}

/// What is committed together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Audit rows, in order.
    pub events: Vec<AuditEvent>,
    /// Sessions given or renewed; the last one of an id counts.
    pub sessions: Vec<SessionRow>,
}

/// What became of a batch that was committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Sessions whose measurement or workload does not stand any more: nothing was written of them.
    pub refused: Vec<SessionId>,
    /// Sessions that somebody ended: nor of them.
    pub ended: Vec<SessionId>,
}
