use std::{fmt, io};

use countersign_protocol::{Destination, Problem, ProblemCode, egress::Denial};

use crate::{host::wire::HostCode, peers::PeerError, pool::OpenError, telemetry, transport::DialError};

/// Why nothing was opened.
#[derive(Debug)]
pub enum EgressError {
    /// The policy does not let it pass.
    Denied {
        /// What was asked for.
        destination: Destination,
        /// Which rule, or that there is none.
        why: String,
    },
    /// The tunnel through the public proxy was not opened.
    Gated(OpenError),
    /// The name does not resolve, or no address takes a connection.
    Dial(DialError),
    /// The name has no address.
    NoAddress,
    /// The host half refused, or could not be asked; its own words are told as such.
    Host(Problem),
    /// The host half did not answer in time.
    Deadline,
    /// No channel to a peer enclave.
    Peer(PeerError),
}

impl EgressError {
    /// The stable word for it, one of this program's own: a code that somebody else chose, and that none of
    /// ours is, is [`OTHER`](crate::telemetry::OTHER).
    pub fn word(&self) -> &'static str {
        match self {
            Self::Denied { .. } => ProblemCode::DestinationDenied.as_str(),
            Self::Gated(why) => why.word(),
            Self::NoAddress | Self::Dial(DialError::Resolve { .. }) => ProblemCode::ResolveFailed.as_str(),
            Self::Dial(DialError::Connect { why, .. }) if why.kind() == io::ErrorKind::TimedOut => {
                ProblemCode::ConnectTimeout.as_str()
            }
            Self::Dial(DialError::Connect { .. }) => ProblemCode::Unreachable.as_str(),
            Self::Host(problem) => telemetry::word(problem),
            Self::Deadline => HostCode::HostTimeout.as_str(),
            Self::Peer(PeerError::Unreachable(why)) => why.word(),
            Self::Peer(why) => why.code(),
        }
    }

    pub(super) fn denied(destination: &Destination, denial: &Denial<'_>) -> Self {
        Self::Denied { destination: destination.clone(), why: denial.to_string() }
    }
}

impl fmt::Display for EgressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied { destination, why } => write!(f, "{destination}: {why}"),
            Self::Gated(why) => why.fmt(f),
            Self::Dial(why) => why.fmt(f),
            Self::NoAddress => f.write_str("the name has no address"),
            Self::Host(problem) => f.write_str(&problem.detail),
            Self::Deadline => f.write_str("the host half did not answer in time"),
            Self::Peer(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for EgressError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Gated(why) => why.source(),
            Self::Dial(why) => why.source(),
            Self::Peer(why) => why.source(),
            _ => None,
        }
    }
}
