//! What outlives the process: policy, sessions, audit.
//!
//! ```text
//!   policy changes ──one transaction each: epoch + 1, the change, its audit row──► Store
//!   admissions ──► Journal ──batches, group commit──────────────────────────────► Store
//!   epoch watcher ◄──polls the epoch, loads the policy when it grew────────────── Store
//! ```
//!
//! [`Store`] is the whole boundary: another database implements this trait and
//! nothing else changes.

mod error;
mod journal;
mod record;
mod rules;
mod sqlite;
mod sqlite_policy;
mod sqlite_seed;

use std::{future::Future, pin::Pin};

use countersign_protocol::Epoch;

pub use error::StoreError;
pub use journal::{Journal, JournalError};
pub use record::{
    AuditEvent, Batch, Committed, MeasurementRow, Revoked, Seeded, SessionRow, StoredMeasurement,
    StoredPolicy, UnixMs,
};
pub use sqlite::{Missing, SqliteStore};

use crate::config::{AuditRetention, WorkloadSpec};

/// A call on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A database that holds the policy, the live sessions and the audit.
pub trait Store: Send + Sync {
    /// The epoch in force and when it was committed. Cheap: asked ten times a second.
    fn committed(&self) -> Answer<'_, Committed>;

    /// The whole policy, from one point in time.
    fn load(&self) -> Answer<'_, StoredPolicy>;

    /// Makes the policy what the configuration says, in one transaction, or
    /// changes nothing. What left the file is revoked; a revoked set of PCRs
    /// stays revoked, whatever the file says.
    fn seed<'a>(&'a self, specs: &'a [WorkloadSpec], now: UnixMs) -> Answer<'a, Seeded>;

    /// Revokes one measurement in one transaction: epoch, state, tombstone, audit row.
    fn revoke<'a>(
        &'a self,
        workload: &'a str,
        measurement: &'a str,
        reason: Option<&'a str>,
        now: UnixMs,
    ) -> Answer<'a, Revoked>;

    /// Commits audit rows and sessions together.
    fn append(&self, batch: Batch) -> Answer<'_, ()>;

    /// Sessions whose lease goes on after `now`.
    fn sessions(&self, now: UnixMs) -> Answer<'_, Vec<SessionRow>>;

    /// Every measurement with its state.
    fn measurements(&self) -> Answer<'_, Vec<MeasurementRow>>;

    /// Drops lapsed sessions and audit rows that are no longer kept; at most a
    /// bounded number at a time, and tells how many went.
    fn prune(&self, retention: AuditRetention, now: UnixMs) -> Answer<'_, u64>;

    /// Upkeep that no commit should wait for. Asked once a second.
    fn tidy(&self) -> Answer<'_, ()>;
}

/// The epoch of a store that nobody wrote to.
pub const EMPTY: Epoch = Epoch(0);

#[cfg(test)]
mod tests;
