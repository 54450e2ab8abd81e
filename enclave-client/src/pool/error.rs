use std::{error::Error, fmt};

use countersign_protocol::Problem;

use crate::{attest::Trouble, telemetry};

/// Why there is no tunnel.
#[derive(Debug)]
pub enum OpenError {
    /// No session: why.
    NotAttested(Trouble),
    /// The gateway said no, and why.
    Refused(Problem),
    /// The gateway said no in words of its own.
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The gateway cannot be reached, or the connection broke before an answer.
    Gateway(String),
    /// No answer in time.
    Deadline,
}

impl OpenError {
    /// The stable word for it, one of this program's own.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotAttested(_) => "not-attested",
            Self::Refused(problem) => telemetry::word(problem),
            Self::Status { .. } => "gateway-answer-invalid",
            Self::Gateway(_) => "gateway-unreachable",
            Self::Deadline => "gateway-timeout",
        }
    }

    pub(super) fn broke(what: &str, why: &(dyn Error + 'static)) -> Self {
        Self::Gateway(format!("{what}: {}", crate::attest::chain(why)))
    }

    /// The refusal in an answer that is not 2xx.
    pub(super) fn refusal(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => Self::Refused(Problem { status, ..problem }),
            Err(_) => Self::Status { status },
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAttested(trouble) => write!(f, "not attested: {trouble}"),
            Self::Refused(problem) => write!(f, "the gateway refused: {problem}"),
            Self::Status { status } => {
                write!(f, "the gateway answered HTTP {status} without a problem document")
            }
            Self::Gateway(why) => write!(f, "no way to the gateway: {why}"),
            Self::Deadline => f.write_str("the gateway did not answer in time"),
        }
    }
}

impl Error for OpenError {}
