use std::{fmt, path::PathBuf};

use super::ChangeError;

/// Why the store did not do what was asked.
#[derive(Debug)]
pub enum StoreError {
    /// The file cannot be opened, or its migrations do not apply.
    Open {
        /// The database file.
        path: PathBuf,
        /// What the database says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no store in this directory.
    Absent {
        /// The file that is not there.
        path: PathBuf,
    },
    /// A statement failed; its transaction was rolled back.
    Statement {
        /// What was being done.
        doing: &'static str,
        /// What the database says.
        source: sqlx::Error,
    },
    /// A row holds something this version cannot read.
    Corrupt {
        /// Table and key.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The request itself cannot be done.
    Refused(ChangeError),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, .. } => write!(f, "cannot open the store {}", path.display()),
            Self::Absent { path } => {
                write!(
                    f,
                    "no store at {}: serve makes it when it first starts with this configuration",
                    path.display()
                )
            }
            Self::Statement { doing, .. } => write!(f, "the store failed to {doing}"),
            Self::Corrupt { row, reason } => write!(f, "the store's row {row} cannot be read: {reason}"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { source, .. } => Some(source.as_ref()),
            Self::Statement { source, .. } => Some(source),
            Self::Absent { .. } | Self::Corrupt { .. } | Self::Refused(_) => None,
        }
    }
}

impl From<ChangeError> for StoreError {
    fn from(error: ChangeError) -> Self {
        Self::Refused(error)
    }
}

/// Gives a database error the name of what was being done.
pub(super) fn doing(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Statement { doing, source }
}
