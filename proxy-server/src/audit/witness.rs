use std::fmt;

use serde::Serialize;

use super::chain::ChainName;

/// Who speaks of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// A head that was noted outside of the database.
    KnownHead,
    /// A signed checkpoint.
    Checkpoint,
    /// The head that is stored with the rows.
    Head,
}

/// Who speaks of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "witness", rename_all = "kebab-case")]
pub enum EpochWitness {
    /// A row.
    Row {
        /// Its chain.
        chain: ChainName,
        /// Its number.
        seq: u64,
    },
    /// A signed checkpoint.
    Checkpoint {
        /// Its chain.
        chain: ChainName,
        /// The row that it speaks of.
        seq: u64,
    },
    /// What was noted outside of the database.
    Known,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KnownHead => "a known head",
            Self::Checkpoint => "a checkpoint",
            Self::Head => "the head",
        })
    }
}

impl fmt::Display for EpochWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row { chain, seq } => write!(f, "row {seq} of {chain}"),
            Self::Checkpoint { chain, seq } => write!(f, "the checkpoint of {chain} at row {seq}"),
            Self::Known => f.write_str("what was noted beside the database"),
        }
    }
}
