//! The audit: hash chains that show whether somebody touched the rows.
//!
//! ```text
//!   Event ──Head::after──► Head, Head, Head …   one chain for the policy, one for each replica process
//!                            │
//!                            ├── AuditKey::sign ──► Checkpoint: who rewrites the chain up to here needs the key
//!                            └── KnownHeads ──────► a file beside the database: who cuts the chain needs it too
//!
//!   rows, checkpoints, heads ──► ChainCheck ──► Report        (`audit verify`, over the store or an export)
//! ```
//!
//! A chain's row n says `hash(n) = SHA-256(chain, n, hash(n - 1), event)`. So an edited, removed, moved or inserted row
//! breaks the chain where it stands, and a chain that was cut lacks the row that a head, a checkpoint or a known head
//! speaks of. Rows after the last checkpoint and the last known head can be rewritten by whoever may write to the
//! database: that is how far hashes reach, and why both are made often.
//!
//! Nothing here knows the database, the clock or async. Only [`AuditKey`] and [`KnownHeads`] touch the file system.

mod chain;
mod check;
mod checkpoint;
mod event;
mod export;
mod fields;
mod file;
mod finding;
mod findings;
mod gaps;
mod key;
mod known;
mod known_file;
mod public_key;
mod report;
mod witness;

pub use chain::{ChainName, Head, NotAChain};
pub use check::{ChainCheck, ChainOutcome};
pub use checkpoint::{Checkpoint, Distrust, Purpose};
pub use event::Event;
pub use export::{ExportError, ExportHeader, ExportWriter, verify_export};
pub use file::AuditFileError;
pub use finding::Finding;
pub use key::AuditKey;
pub use known::{Known, RolledBack, Standing};
pub use known_file::KnownHeads;
pub use public_key::{AuditPublicKey, KeyId, NotAnAuditKey, TrustedKeys};
pub use report::{ChainSummary, Report, Verification};
pub use witness::{EpochWitness, Witness};

#[cfg(test)]
mod tests;
