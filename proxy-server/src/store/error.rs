use std::{fmt, time::Duration};

use super::ChangeError;

/// Why the store did not do what was asked.
#[derive(Debug)]
pub enum StoreError {
    /// The file cannot be opened, or its migrations do not apply.
    Open {
        /// The database file, or the server and the database's name.
        place: String,
        /// What the database says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no store yet.
    Absent {
        /// Where it should be.
        place: String,
    },
    /// The database did not answer. Whether it did what was asked is not known.
    Silent {
        /// What was being done.
        doing: &'static str,
        /// How long it was waited for.
        after: Duration,
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
    /// This process's own audit chain is not where this process left it: another
    /// one writes under the same replica id, or an older copy of the database was restored.
    Forked {
        /// The chain.
        chain: String,
        /// The last row that this process wrote.
        expected: u64,
        /// The last row there is.
        actual: u64,
    },
    /// The address of the database makes no sense.
    Address {
        /// What is wrong with it; never the address, which may hold a password.
        reason: String,
    },
    /// The request itself cannot be done.
    Refused(ChangeError),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { place, .. } => write!(f, "cannot open the store {place}"),
            Self::Absent { place } => {
                write!(f, "no store at {place}: serve makes it when it first starts with this configuration")
            }
            Self::Silent { doing, after } => {
                write!(f, "the store did not answer within {} s, asked to {doing}", after.as_secs())
            }
            Self::Statement { doing, .. } => write!(f, "the store failed to {doing}"),
            Self::Corrupt { row, reason } => write!(f, "the store's row {row} cannot be read: {reason}"),
            Self::Forked { chain, expected, actual } => write!(
                f,
                "the audit chain {chain} ends at row {actual}, and this process left it at {expected}: \
                 another process writes under this replica's id, or an older copy of the database was restored"
            ),
            Self::Address { reason } => write!(f, "the database's URL cannot be used: {reason}"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { source, .. } => Some(source.as_ref()),
            Self::Statement { source, .. } => Some(source),
            Self::Absent { .. }
            | Self::Silent { .. }
            | Self::Corrupt { .. }
            | Self::Forked { .. }
            | Self::Address { .. }
            | Self::Refused(_) => None,
        }
    }
}

impl From<ChangeError> for StoreError {
    fn from(error: ChangeError) -> Self {
        Self::Refused(error)
    }
}
