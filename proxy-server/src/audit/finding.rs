use std::fmt;

use serde::Serialize;

use super::{
    chain::ChainName,
    checkpoint::Distrust,
    fields,
    witness::{EpochWitness, Witness},
};

/// One thing that is not as it was written.
///
/// `expected` is what the rest of the audit says, `actual` what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// A row does not follow from the row before it: it was edited, or put here, or the hash before it was edited.
    RowChanged {
        /// The chain.
        chain: ChainName,
        /// The row.
        seq: u64,
        /// The hash of its content after the row before.
        #[serde(with = "fields::digits")]
        expected: [u8; 32],
        /// The hash that is stored with it.
        #[serde(with = "fields::digits")]
        actual: [u8; 32],
    },
    /// Rows are not there, and later ones are.
    RowsMissing {
        /// The chain.
        chain: ChainName,
        /// The first of them.
        seq: u64,
        /// The last of them.
        last: u64,
    },
    /// A row stands behind a later one.
    RowMoved {
        /// The chain.
        chain: ChainName,
        /// The row.
        seq: u64,
        /// The row that it stands behind.
        after: u64,
    },
    /// A row has a number that was taken, or that lies before the chain's beginning.
    RowInserted {
        /// The chain.
        chain: ChainName,
        /// Its number.
        seq: u64,
        /// The number that was due.
        expected: u64,
    },
    /// The chain ends too early: its last rows were cut off.
    TailMissing {
        /// The chain.
        chain: ChainName,
        /// The last row that is there.
        seq: u64,
        /// The row that must be there.
        expected: u64,
        /// Who speaks of it.
        witness: Witness,
    },
    /// There are rows, and no head.
    HeadMissing {
        /// The chain.
        chain: ChainName,
        /// The last row.
        seq: u64,
    },
    /// The head lies before the last row.
    HeadBehind {
        /// The chain.
        chain: ChainName,
        /// The last row.
        seq: u64,
        /// The row that the head names.
        actual: u64,
    },
    /// The head, a checkpoint or a known head has another hash than its row.
    Disagrees {
        /// The chain.
        chain: ChainName,
        /// The row.
        seq: u64,
        /// Who disagrees.
        witness: Witness,
        /// The hash that the witness names.
        #[serde(with = "fields::digits")]
        expected: [u8; 32],
        /// The hash of the row.
        #[serde(with = "fields::digits")]
        actual: [u8; 32],
    },
    /// A checkpoint stands where its row cannot be compared any more.
    CheckpointMisplaced {
        /// The chain.
        chain: ChainName,
        /// The row that it speaks of.
        seq: u64,
        /// The row that it stands behind.
        after: u64,
    },
    /// A checkpoint cannot be believed.
    CheckpointDistrusted {
        /// The chain.
        chain: ChainName,
        /// The row that it speaks of.
        seq: u64,
        /// Why.
        reason: Distrust,
    },
    /// The rows that retention is said to have dropped were dropped by nobody who may say so.
    AnchorDistrusted {
        /// The chain.
        chain: ChainName,
        /// The last row that is said to be dropped.
        seq: u64,
        /// Why.
        reason: Distrust,
    },
    /// Nothing is left of a chain.
    ChainMissing {
        /// The chain.
        chain: ChainName,
        /// The row that must be there, by a known head.
        expected: u64,
    },
    /// The policy's epoch is lower than one that was in force.
    EpochBehind {
        /// The highest epoch that somebody speaks of.
        expected: u64,
        /// The epoch that is stored.
        actual: u64,
        /// Who speaks of it.
        witness: EpochWitness,
    },
    /// An export has no last line: it was cut off.
    ExportCut {
        /// The whole lines that are there.
        lines: u64,
    },
    /// An export's last line counts other lines than there are.
    ExportLines {
        /// What it counts.
        expected: u64,
        /// What is there.
        actual: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RowChanged { chain, seq, expected, actual } => write!(
                f,
                "{chain} {seq}: the row was changed, or the hash before it: expected {}, found {}",
                Start(expected),
                Start(actual)
            ),
            Self::RowsMissing { chain, seq, last } if seq == last => {
                write!(f, "{chain} {seq}: the row is missing")
            }
            Self::RowsMissing { chain, seq, last } => {
                write!(f, "{chain} {seq} to {last}: these rows are missing")
            }
            Self::RowMoved { chain, seq, after } => {
                write!(f, "{chain} {seq}: the row stands behind row {after}")
            }
            Self::RowInserted { chain, seq, expected } => {
                write!(f, "{chain} {seq}: a row too many; expected row {expected} here")
            }
            Self::TailMissing { chain, seq, expected, witness } => write!(
                f,
                "{chain} {seq}: the chain was cut off behind this row; {witness} speaks of row {expected}"
            ),
            Self::HeadMissing { chain, seq } => write!(f, "{chain} {seq}: the chain has rows, and no head"),
            Self::HeadBehind { chain, seq, actual } => {
                write!(f, "{chain} {seq}: the head names row {actual}, expected this last one")
            }
            Self::Disagrees { chain, seq, witness, expected, actual } => write!(
                f,
                "{chain} {seq}: {witness} speaks of the hash {}, found {}: rows were written anew",
                Start(expected),
                Start(actual)
            ),
            Self::CheckpointMisplaced { chain, seq, after } => {
                write!(
                    f,
                    "{chain} {seq}: the checkpoint stands behind row {after}, so its row cannot be compared"
                )
            }
            Self::CheckpointDistrusted { chain, seq, reason } => {
                write!(f, "{chain} {seq}: the checkpoint cannot be believed: {reason}")
            }
            Self::AnchorDistrusted { chain, seq, reason } => write!(
                f,
                "{chain} {seq}: rows up to this one are gone, and the anchor cannot be believed: {reason}"
            ),
            Self::ChainMissing { chain, expected } => write!(
                f,
                "{chain}: nothing is left of the chain; {} speaks of row {expected}",
                Witness::KnownHead
            ),
            Self::EpochBehind { expected, actual, witness } => write!(
                f,
                "the policy's epoch is {actual}; {witness} speaks of {expected}: an older policy was put back"
            ),
            Self::ExportCut { lines } => write!(f, "the export is cut off behind line {lines}"),
            Self::ExportLines { expected, actual } => {
                write!(f, "the export has {actual} lines before its last, expected {expected}")
            }
        }
    }
}

/// The beginning of a hash: enough to tell two apart by eye. JSON has the whole of it.
pub(super) struct Start<'a>(pub(super) &'a [u8; 32]);

impl fmt::Display for Start<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", hex::encode(&self.0[..8]))
    }
}
