use std::{fmt, io, path::PathBuf};

use crate::{key::KeyError, transport::Listen};

/// Why a port was not opened.
#[derive(Debug)]
pub enum IngressError {
    /// The system refused the listener.
    Listen {
        /// Where.
        at: Listen,
        /// What it said.
        why: io::Error,
    },
    /// The certificate or its key.
    Files(FilesError),
    /// The key made here.
    Key(KeyError),
    /// TLS cannot be configured.
    Tls(rustls::Error),
}

impl fmt::Display for IngressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { at, .. } => write!(f, "ingress cannot listen on {at}"),
            Self::Files(_) => f.write_str("the certificate of an ingress port cannot be used"),
            Self::Key(_) => f.write_str("no key for an attested ingress port"),
            Self::Tls(_) => f.write_str("TLS of an ingress port cannot be configured"),
        }
    }
}

impl std::error::Error for IngressError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { why, .. } => Some(why),
            Self::Files(why) => Some(why),
            Self::Key(why) => Some(why),
            Self::Tls(why) => Some(why),
        }
    }
}

/// Why PEM files give no certificate.
#[derive(Debug)]
pub enum FilesError {
    /// A file cannot be read.
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// It holds no certificate, or one that does not decode.
    Certificate {
        /// Which.
        path: PathBuf,
    },
    /// It holds no private key that decodes.
    Key {
        /// Which.
        path: PathBuf,
    },
    /// Key and certificate do not fit together, or are of a kind that TLS does not know.
    Pair(rustls::Error),
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, .. } => write!(f, "{} cannot be read", path.display()),
            Self::Certificate { path } => {
                write!(f, "{} holds no PEM certificate that decodes", path.display())
            }
            Self::Key { path } => {
                write!(f, "{} holds no PEM private key (PKCS #8, PKCS #1 or SEC 1)", path.display())
            }
            Self::Pair(_) => f.write_str("certificate and key do not fit"),
        }
    }
}

impl std::error::Error for FilesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { why, .. } => Some(why),
            Self::Pair(why) => Some(why),
            Self::Certificate { .. } | Self::Key { .. } => None,
        }
    }
}
