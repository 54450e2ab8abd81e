use std::{
    error::Error,
    fmt, io,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use countersign_protocol::{DestinationError, Problem, ProblemCode};

use crate::session::{EndReason, RegisterError};

/// Why a request opens no tunnel.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The certificate names no live session.
    NoSession,
    /// It names one, made for another key.
    KeyMismatch,
    /// The session takes no tunnel.
    Session(RegisterError),
    /// The workload stands no more.
    NoWorkload,
    /// The request is no CONNECT.
    Method,
    /// The request is not as it must be.
    Request(&'static str),
    /// The head is longer than it may be.
    HeadTooLong { limit: usize },
    /// The head did not come in time.
    HeadTimeout,
    /// The target is no destination.
    Target(DestinationError),
    /// The workload may not go there.
    Denied,
    /// Every address of the destination is special and not named, or our own.
    AddressDenied { address: IpAddr },
    /// The name does not resolve.
    Resolve(io::Error),
    /// The name's lookup took too long.
    ResolveTimeout,
    /// The name has no address.
    NoAddress,
    /// No address took the connection; the last one's error.
    Unreachable(io::Error),
    /// No address took the connection in time.
    ConnectTimeout,
    /// The session stands on another replica, and there is no room for it here.
    NoRoom,
    /// The session may stand on another replica, and the store could not be asked.
    NotLookedUp,
    /// The policy in hand is too old to open anything by.
    Stale,
    /// The proxy stops.
    Draining,
}

impl Refusal {
    /// The code the caller is told.
    pub(crate) fn code(&self) -> ProblemCode {
        match self {
            Self::NoSession => ProblemCode::NoSession,
            Self::KeyMismatch => ProblemCode::KeyMismatch,
            Self::Session(error) => error.code(),
            Self::NoWorkload => RegisterError::Ended(EndReason::WorkloadRemoved).code(),
            Self::Method => ProblemCode::MethodNotAllowed,
            Self::Request(_) => ProblemCode::BadRequest,
            Self::HeadTooLong { .. } => ProblemCode::TooLarge,
            Self::HeadTimeout => ProblemCode::RequestTimeout,
            Self::Target(_) => ProblemCode::BadDestination,
            Self::Denied => ProblemCode::DestinationDenied,
            Self::AddressDenied { .. } => ProblemCode::AddressDenied,
            Self::Resolve(_) | Self::ResolveTimeout | Self::NoAddress => ProblemCode::ResolveFailed,
            Self::Unreachable(_) => ProblemCode::Unreachable,
            Self::ConnectTimeout => ProblemCode::ConnectTimeout,
            Self::NoRoom => ProblemCode::Overloaded,
            Self::Stale | Self::NotLookedUp => ProblemCode::Stale,
            Self::Draining => ProblemCode::Draining,
        }
    }

    /// What the caller is told: the sentence, never what stands behind it.
    pub(crate) fn problem(&self, request: RequestId) -> Problem {
        Problem::new(self.code(), self.to_string(), request.to_string())
    }

    /// What the log is told beside the sentence.
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::AddressDenied { address } => address.to_string(),
            other => other.source().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

impl From<RegisterError> for Refusal {
    fn from(error: RegisterError) -> Self {
        Self::Session(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession => f.write_str("the certificate names no live session: attest"),
            Self::KeyMismatch => f.write_str("the session was given to another key"),
            Self::Session(error) => error.fmt(f),
            Self::NoWorkload => f.write_str("the workload of this session stands no more"),
            Self::Method => f.write_str("this port takes CONNECT only"),
            Self::Request(why) => f.write_str(why),
            Self::HeadTooLong { limit } => write!(f, "request head is longer than {limit} bytes"),
            Self::HeadTimeout => f.write_str("request head did not come in time"),
            Self::Target(error) => error.fmt(f),
            Self::Denied => f.write_str("the workload may not reach this destination"),
            Self::AddressDenied { .. } => {
                f.write_str("the destination leads to an address that must be named to be dialled")
            }
            Self::Resolve(_) => f.write_str("the destination's name does not resolve"),
            Self::ResolveTimeout => f.write_str("the destination's name did not resolve in time"),
            Self::NoAddress => f.write_str("the destination's name has no address"),
            Self::Unreachable(_) => f.write_str("no address of the destination took the connection"),
            Self::ConnectTimeout => f.write_str("the destination did not answer in time"),
            Self::NoRoom => f.write_str("the proxy has as many sessions as it may have: try another replica"),
            Self::NotLookedUp => {
                f.write_str("the proxy could not ask its store about this session: connect again")
            }
            Self::Stale => f.write_str("the proxy has not seen its store lately and opens nothing new"),
            Self::Draining => f.write_str("the proxy is stopping: connect to another replica"),
        }
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Resolve(error) | Self::Unreachable(error) => Some(error),
            _ => None,
        }
    }
}

/// Names one request in answer and log. Unique in this process, random start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(u64);

impl RequestId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(base().wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)))
    }
}

/// Another one in each process, so that ids of two runs or replicas hardly meet.
fn base() -> u64 {
    static BASE: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *BASE.get_or_init(|| {
        let mut bytes = [0; 8];
        // Without randomness ids start at zero: they only help to find a line.
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        u64::from_be_bytes(bytes)
    })
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g-{:016x}", self.0)
    }
}
