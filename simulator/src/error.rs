//! Why the simulator could not do what it was asked.

use std::fmt;
use std::path::PathBuf;

/// Everything that can go wrong here. A [`crate::Fault`] is not an error: it is asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum SimulatorError {
    /// The cryptographic library refused an operation; it gives no reason.
    Crypto {
        /// What was being done.
        operation: &'static str,
    },
    /// A request field is longer than the NSM takes.
    FieldTooLong {
        /// The field of the request.
        field: &'static str,
        /// Its limit in bytes.
        limit: usize,
        /// Its length in bytes.
        actual: usize,
    },
    /// There is no PCR of this index; the NSM has 0 to 31.
    PcrIndex {
        /// What was asked for.
        index: u8,
    },
    /// The PCR is locked, so nothing extends or locks it again before the next boot.
    PcrLocked {
        /// The locked PCR.
        index: u8,
    },
    /// A time that no certificate can express (RFC 5280, 4.1.2.5: years 0000 to 9999).
    Time {
        /// The time, in seconds since 1970.
        seconds: u64,
    },
    /// A file of the root's directory could not be read or written.
    File {
        /// What was being done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of the root's directory is longer than such a file can be.
    FileTooLong {
        /// The file.
        path: PathBuf,
        /// How many bytes are read at most.
        limit: u64,
    },
    /// The key file does not hold a P-384 private key as PKCS#8 in PEM.
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// The certificate is not about the key beside it.
    RootMismatch {
        /// The directory that holds both.
        directory: PathBuf,
    },
    /// The directory already holds another root; a root is never replaced silently.
    RootExists {
        /// The directory.
        directory: PathBuf,
    },
}

impl fmt::Display for SimulatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crypto { operation } => write!(f, "the cryptographic library could not {operation}"),
            Self::FieldTooLong { field, limit, actual } => {
                write!(f, "{field} is {actual} bytes long; the NSM takes at most {limit}")
            }
            Self::PcrIndex { index } => write!(f, "there is no PCR{index}; the NSM has PCR0 to PCR31"),
            Self::PcrLocked { index } => write!(f, "PCR{index} is locked"),
            Self::Time { seconds } => write!(f, "no certificate can express the time {seconds} s after 1970"),
            Self::File { operation, path, .. } => write!(f, "could not {operation} {}", path.display()),
            Self::FileTooLong { path, limit } => write!(f, "{} is longer than {limit} bytes", path.display()),
            Self::NotAKey { path } => {
                write!(f, "{} holds no P-384 private key (PKCS#8, PEM)", path.display())
            }
            Self::RootMismatch { directory } => {
                write!(f, "the certificate and the key in {} do not belong together", directory.display())
            }
            Self::RootExists { directory } => {
                write!(f, "{} already holds another simulated root", directory.display())
            }
        }
    }
}

impl std::error::Error for SimulatorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}
