use std::{fmt, io, path::PathBuf};

use countersign_protocol::peer::{Serial, SignatureError};
use countersign_verifier::MeasurementError;

use super::ConfigTextError;

/// Why a peer's configuration is not relied on.
#[derive(Debug)]
pub enum ConfigRefusal {
    /// It was not looked for yet.
    NotRead,
    /// The file is not there, or cannot be read.
    Unreadable {
        /// Where.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// It is no configuration.
    Text(ConfigTextError),
    /// The manifest pins a signer, and nobody signed it.
    NotSigned,
    /// Somebody else signed it, or it was changed.
    Signature(SignatureError),
    /// The manifest pins another file.
    Hash {
        /// SHA-256 of the one pinned.
        expected: [u8; 32],
        /// SHA-256 of this one.
        actual: [u8; 32],
    },
    /// It is older than one that was accepted.
    RolledBack {
        /// The highest accepted.
        accepted: Serial,
        /// This one's.
        actual: Serial,
    },
    /// It has the number of one that was accepted, and says something else.
    SerialReused {
        /// The number.
        serial: Serial,
    },
    /// It counts only from a later moment on.
    NotYet {
        /// Its first second, since 1970.
        from: u64,
        /// The time by the NSM, in seconds.
        now: u64,
    },
    /// Its time is over.
    Ended {
        /// Its last second, since 1970.
        until: u64,
        /// The time by the NSM, in seconds.
        now: u64,
    },
    /// The NSM gave no document, whose time is the one to judge by.
    NoTime,
    /// A measurement that no verifier can hold.
    Measurement(MeasurementError),
}

impl ConfigRefusal {
    /// Stable, for logs and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotRead | Self::Unreadable { .. } => "peer-config-missing",
            Self::Text(_) | Self::Measurement(_) => "peer-config-invalid",
            Self::NotSigned => "peer-config-not-signed",
            Self::Signature(_) => "peer-config-signature",
            Self::Hash { .. } => "peer-config-hash",
            Self::RolledBack { .. } => "peer-config-rolled-back",
            Self::SerialReused { .. } => "peer-config-serial-reused",
            Self::NotYet { .. } => "peer-config-not-yet",
            Self::Ended { .. } => "peer-config-ended",
            Self::NoTime => "no-time",
        }
    }
}

impl fmt::Display for ConfigRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRead => f.write_str("the peer's configuration was not read yet"),
            Self::Unreadable { path, .. } => write!(f, "{} cannot be read", path.display()),
            Self::Text(_) => f.write_str("the file is no peer configuration"),
            Self::NotSigned => f.write_str("the file is not signed, and the manifest pins a signer"),
            Self::Signature(_) => f.write_str("the file's signature does not hold"),
            Self::Hash { expected, actual } => write!(
                f,
                "the file's SHA-256 is {}, the manifest pins {}",
                hex::encode(actual),
                hex::encode(expected)
            ),
            Self::RolledBack { accepted, actual } => {
                write!(f, "serial {actual} is older than {accepted}, which was accepted already")
            }
            Self::SerialReused { serial } => {
                write!(f, "serial {serial} was accepted already with other content")
            }
            Self::NotYet { from, now } => {
                write!(f, "it counts from {from} s after 1970 on, and it is {now}")
            }
            Self::Ended { until, now } => {
                write!(f, "it counted until {until} s after 1970, and it is {now}")
            }
            Self::NoTime => f.write_str("the NSM gave no document, whose time is the one to judge by"),
            Self::Measurement(_) => f.write_str("a measurement cannot be held"),
        }
    }
}

impl std::error::Error for ConfigRefusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { why, .. } => Some(why),
            Self::Text(why) => Some(why),
            Self::Signature(why) => Some(why),
            Self::Measurement(why) => Some(why),
            _ => None,
        }
    }
}
