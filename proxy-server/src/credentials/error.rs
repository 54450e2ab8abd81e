use std::{error::Error, fmt, time::Duration};

/// Why STS gave no credentials.
#[derive(Debug)]
pub enum StsError {
    /// It refused, or was not reached.
    Failed {
        /// What the SDK says, all layers.
        source: Box<dyn Error + Send + Sync>,
    },
    /// No answer in time.
    Slow {
        /// How long it was waited for.
        after: Duration,
    },
    /// An answer without credentials, or with ones that are over.
    Nothing,
}

impl fmt::Display for StsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { .. } => f.write_str("AssumeRole failed"),
            Self::Slow { after } => write!(f, "STS gave no credentials within {} s", after.as_secs()),
            Self::Nothing => f.write_str("STS answered without credentials that live"),
        }
    }
}

impl Error for StsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed { source } => Some(source.as_ref()),
            Self::Slow { .. } | Self::Nothing => None,
        }
    }
}
