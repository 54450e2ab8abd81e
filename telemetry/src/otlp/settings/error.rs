use std::{error::Error, fmt};

/// What is wrong with a setting. Never tells a header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadSetting {
    /// No `http://` or `https://` address of a host.
    Endpoint {
        /// What is the matter.
        why: &'static str,
    },
    /// A header that cannot be sent.
    Header {
        /// Counted from one, since what should be its name may be a value.
        number: usize,
        /// What is the matter.
        why: &'static str,
    },
    /// An attribute of the resource.
    Resource {
        /// Counted from one.
        number: usize,
        /// What is the matter.
        why: &'static str,
    },
    /// A certificate of [`Anchors::Only`](super::Anchors::Only) cannot be an anchor, or there is none.
    Anchors,
    /// The cryptographic library has no TLS of this version.
    Tls,
    /// In a variable of the environment.
    Variable {
        /// Its name.
        name: &'static str,
        /// What is wrong with its value.
        source: Box<BadSetting>,
    },
}

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { why } => write!(f, "no address of a collector: {why}"),
            Self::Header { number, why } => write!(f, "header {number}: {why}"),
            Self::Resource { number, why } => write!(f, "attribute {number}: {why}"),
            Self::Anchors => {
                f.write_str("not each of the certificates can be a trust anchor, or there is none")
            }
            Self::Tls => f.write_str("no TLS to be had"),
            Self::Variable { name, .. } => write!(f, "the environment's {name}"),
        }
    }
}

impl Error for BadSetting {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Variable { source, .. } => Some(source),
            _ => None,
        }
    }
}
