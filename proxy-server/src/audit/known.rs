use std::{collections::BTreeMap, fmt};

use countersign_protocol::Epoch;
use serde::{Deserialize, Serialize};

use super::{
    chain::{ChainName, Head},
    fields,
    finding::Start,
};

/// What a replica has seen of the audit and of the policy, kept outside of the database: the witness that finds what is
/// consistent inside of it, a chain that was cut with its head and its checkpoints, or a backup that was put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    version: Version,
    #[serde(with = "fields::epoch")]
    epoch: Epoch,
    /// The longest-known chain first.
    heads: Vec<KnownHead>,
}

/// The only version there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u64", try_from = "u64")]
struct Version;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownHead {
    chain: ChainName,
    head: Head,
}

/// What the store says of the row that a known head speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The row, or the head that names it, has this hash.
    Hash([u8; 32]),
    /// Retention has dropped the row: an anchor that can be believed lies at it or behind it.
    Pruned,
    /// The chain ends before it, with this row; 0 when nothing is left of the chain.
    Absent {
        /// The last row.
        last: u64,
    },
}

impl Known {
    /// Knows nothing.
    pub fn new() -> Self {
        Self { version: Version, epoch: Epoch(0), heads: Vec::new() }
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// What does not fit, as a sentence.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let known: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut names: Vec<ChainName> = known.heads.iter().map(|known| known.chain).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() != known.heads.len() || names.len() > MOST_CHAINS {
            return Err(format!("expected at most {MOST_CHAINS} chains, each once"));
        }
        Ok(known)
    }

    /// One JSON document with a line end.
    pub fn to_json(&self) -> String {
        // Texts, numbers and no map: it cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The highest epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The highest head of each chain.
    pub fn heads(&self) -> impl Iterator<Item = (ChainName, Head)> {
        self.heads.iter().map(|known| (known.chain, known.head))
    }

    /// The highest head of one chain.
    pub fn head(&self, chain: ChainName) -> Option<Head> {
        self.heads.iter().find(|known| known.chain == chain).map(|known| known.head)
    }

    /// Remembers a head that is durable in the store. A lower one than is known changes nothing.
    ///
    /// # Errors
    /// [`RolledBack::Rewritten`] when another hash is known for the same row; the known one stays.
    pub fn note(&mut self, chain: ChainName, head: Head) -> Result<(), RolledBack> {
        if let Some(known) = self.heads.iter_mut().find(|known| known.chain == chain) {
            if known.head.seq == head.seq && known.head.hash != head.hash {
                return Err(RolledBack::Rewritten { chain, known: known.head, stored: head.hash });
            }
            if known.head.seq < head.seq {
                known.head = head;
            }
            return Ok(());
        }
        if self.heads.len() >= MOST_CHAINS
            && let Some(oldest) = self.heads.iter().position(|known| known.chain != ChainName::Policy)
        {
            self.heads.remove(oldest);
        }
        self.heads.push(KnownHead { chain, head });
        Ok(())
    }

    /// Remembers an epoch. A lower one than is known changes nothing.
    pub fn note_epoch(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch);
    }

    /// Compares with a store: `stored` has what it says of each head in [`Self::heads`].
    ///
    /// # Errors
    /// The first contradiction: the policy first, for it decides who may pass.
    pub fn check(&self, stored: &BTreeMap<ChainName, Standing>, epoch: Epoch) -> Result<(), RolledBack> {
        if epoch < self.epoch {
            return Err(RolledBack::Epoch { known: self.epoch, stored: epoch });
        }
        let mut heads: Vec<_> = self.heads().collect();
        heads.sort_unstable_by_key(|(chain, _)| *chain);
        for (chain, known) in heads {
            match stored.get(&chain).copied().unwrap_or(Standing::Absent { last: 0 }) {
                Standing::Hash(hash) if hash == known.hash => {}
                Standing::Hash(stored) => return Err(RolledBack::Rewritten { chain, known, stored }),
                Standing::Absent { .. } if known.seq == 0 => {}
                Standing::Absent { last } => return Err(RolledBack::Cut { chain, known, last }),
                Standing::Pruned => {}
            }
        }
        Ok(())
    }

    /// The higher of both, head by head. Where two hashes stand for one row, the own one stays.
    pub(super) fn merge(&mut self, other: &Self) {
        self.note_epoch(other.epoch);
        for (chain, head) in other.heads() {
            // Both are witnesses; the check against the store tells which one it contradicts.
            let _ = self.note(chain, head);
        }
    }
}

impl Default for Known {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Version> for u64 {
    fn from(Version: Version) -> Self {
        1
    }
}

impl TryFrom<u64> for Version {
    type Error = &'static str;

    fn try_from(version: u64) -> Result<Self, &'static str> {
        if version == 1 { Ok(Self) } else { Err("expected version 1") }
    }
}

/// The store is older than what this replica has seen of it: a backup was put back, or somebody removed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolledBack {
    /// The policy's epoch went back.
    Epoch {
        /// The highest that was seen.
        known: Epoch,
        /// The one that is stored.
        stored: Epoch,
    },
    /// A chain ends before a row that was seen.
    Cut {
        /// The chain.
        chain: ChainName,
        /// The row that was seen.
        known: Head,
        /// The last row that is stored; 0 when nothing is left.
        last: u64,
    },
    /// A row that was seen has another hash.
    Rewritten {
        /// The chain.
        chain: ChainName,
        /// The row as it was seen.
        known: Head,
        /// Its hash in the store.
        stored: [u8; 32],
    },
}

impl fmt::Display for RolledBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epoch { known, stored } => write!(
                f,
                "the store's epoch is {stored}, and {known} was in force here: an older policy was put back"
            ),
            Self::Cut { chain, known, last } => write!(
                f,
                "the audit chain {chain} ends with row {last}, and row {} was seen here: rows were cut off, or a \
                 backup was put back",
                known.seq
            ),
            Self::Rewritten { chain, known, stored } => write!(
                f,
                "row {} of the audit chain {chain} has the hash {}, and {} was seen here: rows were written anew",
                known.seq,
                Start(stored),
                Start(&known.hash)
            ),
        }
    }
}

impl std::error::Error for RolledBack {}

/// The policy's chain, and those of this many process starts less one.
pub(super) const MOST_CHAINS: usize = 64;
