//! Changes of the policy, as data: what is asked for, by whom, and what came of it.

use std::{collections::BTreeMap, fmt};

use countersign_protocol::{Epoch, SessionId};
use countersign_verifier::PcrSet;

use super::{Committed, UnixMs};
use crate::policy::{Workload, WorkloadName};

/// A change somebody asks for. The store does all of it in one transaction
/// (check, epoch, rows, audit, idempotency), or nothing.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    /// What.
    pub change: Change,
    /// Who.
    pub actor: Actor,
    /// What must still be so.
    pub precondition: Precondition,
    /// Do it, or only say what it would do.
    pub mode: Mode,
    /// How many people besides the author must agree to what allows more. 0: nobody.
    pub approvals: u32,
    /// So that a request sent twice is done once.
    pub idempotency: Option<Idempotency>,
    /// The clock of whoever makes the change.
    pub now: UnixMs,
}

impl ChangeRequest {
    /// A change by whoever needs nobody's approval and knows no revision: it is made at once.
    pub fn at_once(change: Change, actor: Actor, now: UnixMs) -> Self {
        Self {
            change,
            actor,
            precondition: Precondition::None,
            mode: Mode::Commit,
            approvals: 0,
            idempotency: None,
            now,
        }
    }
}

/// Who changes something, for the audit, and because nobody approves what is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `token:<name>`, `oidc:<issuer>#<sub>`, `cert:<name>`, `local:<user>`, `file:<path>`.
    pub subject: String,
    /// As the caller was told it.
    pub request_id: String,
}

/// What can be changed.
#[derive(Clone, Debug)]
pub enum Change {
    /// Makes a workload, or gives it other rules. What allows more than before
    /// waits for approvals; what allows less is in force at once.
    PutWorkload {
        /// Its rules.
        workload: Workload,
        /// For people.
        description: Option<String>,
    },
    /// Revokes a workload with all its measurements' sessions.
    RevokeWorkload {
        /// Which.
        workload: WorkloadName,
        /// Why.
        reason: Option<String>,
    },
    /// Adds a measurement: active, or pending where approvals are asked for.
    AddMeasurement {
        /// Its workload.
        workload: WorkloadName,
        /// The measurement.
        measurement: NewMeasurement,
    },
    /// Changes what people read of a measurement, and its validity. PCRs never change.
    EditMeasurement {
        /// Its workload.
        workload: WorkloadName,
        /// Its name.
        name: String,
        /// The new values.
        edit: MeasurementEdit,
    },
    /// Says yes to a pending measurement, or, without a name, to a workload's pending rules.
    Approve {
        /// The workload.
        workload: WorkloadName,
        /// The measurement.
        measurement: Option<String>,
    },
    /// Takes back a pending measurement or pending rules: nobody allowed them yet.
    Withdraw {
        /// The workload.
        workload: WorkloadName,
        /// The measurement.
        measurement: Option<String>,
    },
    /// Revokes a measurement for good and leaves a tombstone of its PCRs.
    RevokeMeasurement {
        /// Its workload.
        workload: WorkloadName,
        /// Its name.
        name: String,
        /// Why.
        reason: Option<String>,
    },
    /// Leaves a tombstone for PCRs whether a measurement has them or not.
    RevokePcrs {
        /// Every enclave that has all of these is refused.
        pcrs: PcrSet,
        /// Why.
        reason: Option<String>,
    },
    /// Removes a tombstone: the PCRs may be added again. Revoked measurements stay revoked.
    LiftTombstone {
        /// Exactly the set that was revoked.
        pcrs: PcrSet,
        /// Why.
        reason: Option<String>,
    },
    /// Ends a session on every replica. The enclave may attest again.
    EndSession {
        /// Which.
        session: SessionId,
        /// Why.
        reason: Option<String>,
    },
}

/// A measurement to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMeasurement {
    /// Unique in its workload.
    pub name: String,
    /// PCR0, 1 and 2, and any others.
    pub pcrs: PcrSet,
    /// What people read of it, and its validity.
    pub edit: MeasurementEdit,
}

/// What may change in a measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeasurementEdit {
    /// For people: a release, a commit.
    pub version: Option<String>,
    /// For people and programs.
    pub labels: BTreeMap<String, String>,
    /// Admits from then on.
    pub not_before: Option<UnixMs>,
    /// Admits before then; its sessions end then.
    pub expires: Option<UnixMs>,
}

/// What must still be so for the change to be made (RFC 9110 section 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// There is no such row (`If-None-Match: *`).
    Absent,
    /// The row has this revision (`If-Match`).
    Revision(u64),
}

/// Whether to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Do it.
    Commit,
    /// Check everything, change nothing, and say what would have come of it.
    DryRun,
}

/// A caller's name for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's key, at most 128 bytes.
    pub key: String,
    /// SHA-256 of what was asked: the same key for something else is an error.
    pub request: [u8; 32],
}

/// What a change did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The policy afterwards; the present one after a dry run, or when only an approval was noted.
    pub committed: Committed,
    /// The row's revision afterwards, where it has one.
    pub revision: Option<u64>,
    /// Whether it is in force.
    pub standing: Standing,
    /// What it ends.
    pub impact: Impact,
    /// What the author should know: "no PCR3, 4, 8 or 16 is pinned …".
    pub warnings: Vec<String>,
    /// The same request was answered before with this: nothing was done now.
    pub replayed: bool,
}

/// Whether a change is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    InForce,
    /// It waits for people.
    Waiting {
        /// How many said yes.
        approvals: u32,
        /// How many must.
        needed: u32,
    },
}

/// What ends with a change, as the replicas last said (their numbers are at most some seconds old).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact {
    /// Live sessions that end.
    pub sessions: u64,
    /// Tunnels that are cut.
    pub tunnels: u64,
    /// Names of the live replicas that hold such tunnels.
    pub replicas: Vec<String>,
}

/// Why a change was not made. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// There is no such thing; the nearest names there are.
    NotFound {
        /// `workload payments`, `measurement payments/v1`, `session …`, `tombstone`.
        what: String,
        /// At most ten of the same kind, where that helps.
        known: Vec<String>,
    },
    /// There is one already.
    Exists {
        /// `measurement payments/v1`.
        what: String,
    },
    /// Somebody changed it meanwhile.
    Revision {
        /// What.
        what: String,
        /// As the caller knew it.
        expected: u64,
        /// As it is.
        actual: u64,
    },
    /// These PCRs were revoked: lift the tombstone first.
    Buried {
        /// The measurement that was revoked, `workload/name`.
        measurement: String,
    },
    /// An enclave could match this measurement and one of another workload.
    Overlaps {
        /// `workload/name`.
        other: String,
    },
    /// The same PCRs are in the workload already.
    SamePcrs {
        /// `workload/name`.
        other: String,
    },
    /// It is revoked already.
    AlreadyRevoked {
        /// What.
        what: String,
    },
    /// Nothing of it waits for approval.
    NothingWaits {
        /// What.
        what: String,
    },
    /// Nobody approves what they wrote.
    OwnApproval {
        /// Who.
        subject: String,
    },
    /// They said yes before.
    AlreadyApproved {
        /// Who.
        subject: String,
    },
    /// A configuration file keeps it: change it there. Revoking is always possible.
    KeptByFile {
        /// What.
        what: String,
    },
    /// The key was used for another request.
    IdempotencyMismatch {
        /// The key.
        key: String,
    },
    /// The change makes no sense; the sentence says why.
    Invalid {
        /// Which field.
        field: &'static str,
        /// A sentence.
        reason: String,
    },
    /// A bound of the installation is reached.
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { what, known } if known.is_empty() => write!(f, "there is no {what}"),
            Self::NotFound { what, known } => write!(f, "there is no {what}; known: {}", known.join(", ")),
            Self::Exists { what } => write!(f, "there is a {what} already"),
            Self::Revision { what, expected, actual } => {
                write!(f, "{what} was changed meanwhile: revision {actual}, not {expected}")
            }
            Self::Buried { measurement } => {
                write!(f, "these PCRs were revoked as {measurement}: lift the tombstone first")
            }
            Self::Overlaps { other } => {
                write!(
                    f,
                    "an enclave could match this and {other} of another workload: pin a PCR that tells them apart"
                )
            }
            Self::SamePcrs { other } => write!(f, "{other} has the same PCRs"),
            Self::AlreadyRevoked { what } => write!(f, "{what} is revoked already"),
            Self::NothingWaits { what } => write!(f, "nothing of {what} waits for approval"),
            Self::OwnApproval { subject } => write!(f, "{subject} wrote it: somebody else approves"),
            Self::AlreadyApproved { subject } => write!(f, "{subject} approved it before"),
            Self::KeptByFile { what } => {
                write!(f, "{what} is kept in the configuration file: change it there")
            }
            Self::IdempotencyMismatch { key } => {
                write!(f, "the Idempotency-Key \"{key}\" was used for another request")
            }
            Self::Invalid { field, reason } => write!(f, "{field}: {reason}"),
            Self::TooMany { what, limit } => write!(f, "there are {limit} {what}, which is the most"),
        }
    }
}

impl std::error::Error for ChangeError {}

/// The most approvals that can be asked for.
pub const MOST_APPROVALS: u32 = 10;

/// A session that somebody ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedSession {
    /// Which.
    pub id: SessionId,
    /// The policy change it came with.
    pub epoch: Epoch,
    /// Why.
    pub reason: String,
}
