use std::{fmt, io, sync::Arc, time::Duration};

use countersign_protocol::{
    message::MessageError,
    peer::{FrameError, PeerRefusal},
};
use countersign_verifier::Refusal;

use super::config::ConfigRefusal;
use crate::{attest::chain, device::DeviceError, egress::EgressError};

/// Why there is no way to a peer, or from it.
#[derive(Debug)]
pub enum PeerError {
    /// Nothing says who the peer may be: its configuration is missing, not signed, or has ended.
    Config(Arc<ConfigRefusal>),
    /// The peer's configuration does not name the port that it was called at.
    Port {
        /// The port.
        port: u16,
    },
    /// No connection to it.
    Unreachable(Box<EgressError>),
    /// The handshake failed, or the connection broke.
    Tls(io::Error),
    /// The other end shows our own key: somebody led us to ourselves.
    Itself,
    /// The other end does not speak as it should.
    Protocol(ProtocolFault),
    /// Our NSM gave no document.
    Device(DeviceError),
    /// The other end's document proves nothing, or something else.
    Refused(Box<Refusal>),
    /// Its certificates end before the shortest lease.
    EndsSoon {
        /// What is left, in seconds.
        left: u64,
    },
    /// It proved itself under another root than its configuration names.
    OtherRoot,
    /// The other end does not take what we proved. Its own words.
    RefusedByPeer(PeerRefusal),
    /// Somebody asks for proofs too often.
    TooOften,
    /// More peers hold a proof than are kept.
    Full {
        /// How many are kept.
        limit: usize,
    },
    /// More connections are open than are carried.
    Overloaded {
        /// How many are.
        limit: usize,
    },
    /// Nobody answered in time.
    Deadline {
        /// The time there was.
        deadline: Duration,
    },
    /// Each connection led to another enclave.
    Elsewhere {
        /// How many.
        attempts: u32,
    },
    /// The program is stopping.
    Stopping,
}

/// How the other end broke the rules of the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolFault {
    /// An impossible length.
    Frame(FrameError),
    /// No message.
    Message(MessageError),
    /// A message that does not come now.
    OutOfTurn {
        /// What should have come.
        expected: &'static str,
    },
    /// A first byte that means nothing.
    Opening {
        /// The byte.
        byte: u8,
    },
    /// A key without a proof asks for its bytes to be carried.
    UnknownKey,
}

impl PeerError {
    /// Stable, for logs and the other end: a verifier's refusal has the verifier's code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(why) => why.code(),
            Self::Port { .. } => "peer-port",
            Self::Unreachable(_) => "peer-unreachable",
            Self::Tls(_) => "peer-tls",
            Self::Itself => "peer-is-itself",
            Self::Protocol(ProtocolFault::UnknownKey) => "peer-unknown-key",
            Self::Protocol(_) => "peer-protocol",
            Self::Device(_) => "no-document",
            Self::Refused(refusal) => refusal.code(),
            Self::EndsSoon { .. } => "evidence-ends-soon",
            Self::OtherRoot => "untrusted-root",
            Self::RefusedByPeer(_) => "refused-by-peer",
            Self::TooOften => "attesting-too-often",
            Self::Full { .. } => "too-many-peers",
            Self::Overloaded { .. } => "peer-overloaded",
            Self::Deadline { .. } => "peer-deadline",
            Self::Elsewhere { .. } => "peer-elsewhere",
            Self::Stopping => "stopping",
        }
    }

    /// Whether it may be gone at the next try: something did not work, here or there, and nobody decided anything.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Tls(_)
            | Self::Deadline { .. }
            | Self::Device(_)
            | Self::Unreachable(_)
            | Self::TooOften
            | Self::Overloaded { .. } => true,
            Self::RefusedByPeer(why) => PASSING.contains(&why.code()),
            _ => false,
        }
    }

    /// For the other end: the code, and the sentence where it is about what the other end sent.
    /// What happened on this side stays on this side.
    pub(super) fn to_refusal(&self) -> PeerRefusal {
        let detail = match self {
            Self::Config(_) | Self::Device(_) | Self::Tls(_) | Self::Unreachable(_) => {
                "the other side has a trouble of its own".to_owned()
            }
            other => chain(other),
        };
        PeerRefusal::new(self.code(), &detail)
    }
}

/// The codes of the other end's troubles, as [`PeerError::code`] has them, that say nothing of us.
const PASSING: [&str; 5] =
    ["peer-tls", "peer-deadline", "no-document", "attesting-too-often", "peer-overloaded"];

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(_) => f.write_str("nothing says who this peer may be"),
            Self::Port { port } => write!(f, "the peer's configuration does not name port {port}"),
            Self::Unreachable(_) => f.write_str("the peer cannot be reached"),
            Self::Tls(_) => f.write_str("no TLS with the peer"),
            Self::Itself => f.write_str("the other end shows this enclave's own key"),
            Self::Protocol(_) => f.write_str("the peer does not keep to the protocol"),
            Self::Device(_) => f.write_str("this enclave cannot prove itself"),
            Self::Refused(_) => f.write_str("the peer is not who it must be"),
            Self::EndsSoon { left } => {
                write!(f, "the certificates of the peer's document end in {left} s, before any lease")
            }
            Self::OtherRoot => f.write_str("the peer proved itself under another root"),
            Self::RefusedByPeer(why) => write!(f, "the peer refuses this enclave: {why}"),
            Self::TooOften => f.write_str("too many strangers ask for a proof; try again"),
            Self::Full { limit } => write!(f, "{limit} peers hold a proof, the limit"),
            Self::Overloaded { limit } => write!(f, "{limit} connections of peers are open, the limit"),
            Self::Deadline { deadline } => write!(f, "the peer did not answer within {deadline:?}"),
            Self::Elsewhere { attempts } => {
                write!(f, "{attempts} connections led to {attempts} enclaves that were not known")
            }
            Self::Stopping => f.write_str("the program is stopping"),
        }
    }
}

impl std::error::Error for PeerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(why) => Some(&**why),
            Self::Unreachable(why) => Some(&**why),
            Self::Tls(why) => Some(why),
            Self::Protocol(why) => Some(why),
            Self::Device(why) => Some(why),
            Self::Refused(why) => Some(&**why),
            _ => None,
        }
    }
}

impl fmt::Display for ProtocolFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(why) => why.fmt(f),
            Self::Message(why) => why.fmt(f),
            Self::OutOfTurn { expected } => write!(f, "another message came than {expected}"),
            Self::Opening { byte } => write!(f, "its first byte is {byte}, which means nothing"),
            Self::UnknownKey => f.write_str("its key holds no proof here"),
        }
    }
}

impl std::error::Error for ProtocolFault {}

impl From<ProtocolFault> for PeerError {
    fn from(fault: ProtocolFault) -> Self {
        Self::Protocol(fault)
    }
}

impl From<Refusal> for PeerError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}
