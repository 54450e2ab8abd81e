use std::{fmt, io};

use crate::gateway::records::RecordError;

/// Why a connection cannot go on.
#[derive(Debug)]
pub(crate) enum StreamError {
    /// The socket fails.
    Io(io::Error),
    /// The peer's records are no good.
    Record(RecordError),
    /// TCP ended without close_notify: "the data could have been truncated" (RFC 8446 section 6.1).
    Truncated,
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Io(error) => error,
            StreamError::Record(error) => Self::new(io::ErrorKind::InvalidData, error),
            StreamError::Truncated => io::ErrorKind::UnexpectedEof.into(),
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("socket failed"),
            Self::Record(_) => f.write_str("record refused"),
            Self::Truncated => f.write_str("connection ended without close_notify"),
        }
    }
}

impl std::error::Error for StreamError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Record(error) => Some(error),
            Self::Truncated => None,
        }
    }
}
