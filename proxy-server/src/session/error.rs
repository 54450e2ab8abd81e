use std::fmt;

use countersign_protocol::ProblemCode;

use super::EndReason;

/// Why an admission became no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmitError {
    /// The sequence number does not grow within this boot.
    SequenceReplayed {
        /// The highest one seen.
        last: u64,
        /// The one given.
        got: u64,
    },
    /// The key has a session under another boot, workload or measurement.
    Conflict,
    /// The workload has as many sessions as it may have.
    TooManySessions {
        /// How many those are.
        limit: u32,
    },
    /// The EC2 instance has as many sessions as it may have.
    TooManyOfInstance {
        /// How many those are.
        limit: u32,
    },
    /// The proxy has as many sessions as it may have.
    Full {
        /// How many those are.
        limit: usize,
    },
    /// A restored or adopted session whose id or lease is of no use: the id is taken, or the
    /// lease is over, here by the monotonic clock if not by the store's.
    NotRestorable,
    /// The policy that the session was judged by is not in force any more.
    PolicyChanged,
    /// The system gives no random bytes.
    NoRandomness,
}

/// Why a session takes no (further) tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterError {
    /// It is over.
    Ended(EndReason),
    /// It has as many tunnels as it may have.
    TooManyTunnels {
        /// How many those are.
        limit: u32,
    },
}

impl AdmitError {
    /// The code the caller is told.
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::SequenceReplayed { .. } => ProblemCode::SequenceReplayed,
            Self::Conflict => ProblemCode::SessionConflict,
            Self::TooManyOfInstance { .. } => ProblemCode::TooManyOfInstance,
            Self::TooManySessions { .. } | Self::Full { .. } => ProblemCode::Overloaded,
            Self::NotRestorable | Self::PolicyChanged | Self::NoRandomness => ProblemCode::Internal,
        }
    }
}

impl RegisterError {
    /// The code the caller is told.
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::Ended(EndReason::LeaseLapsed) => ProblemCode::LeaseLapsed,
            Self::Ended(EndReason::MeasurementRevoked) => ProblemCode::MeasurementRevoked,
            Self::Ended(EndReason::Draining) => ProblemCode::Draining,
            Self::Ended(EndReason::StoreUnreachable) => ProblemCode::Stale,
            Self::Ended(
                EndReason::WorkloadRemoved
                | EndReason::RulesChanged
                | EndReason::EndedByAdmin
                | EndReason::MeasurementExpired
                | EndReason::NotRecorded,
            ) => ProblemCode::SessionEnded,
            Self::TooManyTunnels { .. } => ProblemCode::TooManyTunnels,
        }
    }
}

impl fmt::Display for AdmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SequenceReplayed { last, got } => {
                write!(f, "sequence {got} is not greater than {last}, the last one of this boot")
            }
            Self::Conflict => {
                f.write_str("the key has a session under another boot, workload or measurement")
            }
            Self::TooManySessions { limit } => {
                write!(f, "the workload has {limit} sessions, all it may have")
            }
            Self::TooManyOfInstance { limit } => {
                write!(f, "the EC2 instance has {limit} sessions, all it may have")
            }
            Self::Full { limit } => write!(f, "the proxy has {limit} sessions, all it may have"),
            Self::NotRestorable => f.write_str("the stored session has a known id or a lease that is over"),
            Self::PolicyChanged => f.write_str("the policy changed meanwhile"),
            Self::NoRandomness => f.write_str("the system gives no random bytes"),
        }
    }
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(EndReason::LeaseLapsed) => {
                f.write_str("the lease of the session lapsed: attest again")
            }
            Self::Ended(EndReason::Draining) => {
                f.write_str("the proxy is stopping: connect to another replica")
            }
            Self::Ended(EndReason::StoreUnreachable) => {
                f.write_str("the proxy has not seen its store for long: try another replica")
            }
            Self::Ended(reason) => write!(f, "the session is over ({reason}): attest again"),
            Self::TooManyTunnels { limit } => write!(f, "the session has {limit} tunnels, all it may have"),
        }
    }
}

impl std::error::Error for AdmitError {}
impl std::error::Error for RegisterError {}
