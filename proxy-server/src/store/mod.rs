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

mod change;
mod decide;
mod error;
mod journal;
mod query;
mod record;
mod sql;
mod texts;

use std::{future::Future, pin::Pin};

use countersign_protocol::{Epoch, KeyThumbprint, SessionId};
use tokio::sync::watch;

pub use change::{
    Actor, Change, ChangeError, ChangeRequest, Changed, EndedSession, Idempotency, Impact, MOST_APPROVALS,
    MeasurementEdit, Mode, NewMeasurement, Precondition, Standing,
};
pub use error::StoreError;
pub use journal::{Journal, JournalError, WeakJournal};
pub use query::{
    AuditFilter, AuditPage, AuditRow, AuditState, ChainRow, CheckpointRow, Load, MeasurementFilter,
    MeasurementRow, Origin, Page, Paged, PendingValidity, ReplicaRow, SessionFilter, TokenRow, TombstoneRow,
    Visible, Waiting, WorkloadRow,
};
pub use record::{
    Appended, AuditEvent, Batch, Committed, Seeded, SessionRow, StoredMeasurement, StoredPolicy, UnixMs,
};
pub use sql::{AuditWriter, BackupError, Missing, SqlStore, StoreConfig, dump_address, open};

use crate::config::{AuditRetention, WorkloadSpec};

/// A call on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Who may pass, and the one way to change it.
pub trait PolicyStore: Send + Sync {
    /// The epoch in force and when it was committed. Cheap: asked ten times a second.
    fn committed(&self) -> Answer<'_, Committed>;

    /// The whole policy, from one point in time.
    fn load(&self) -> Answer<'_, StoredPolicy>;

    /// Told whenever some process may have committed a policy change or a
    /// heartbeat. A hint and no more: whoever listens polls as well. `None`
    /// where the database has no such thing.
    fn hints(&self) -> Option<watch::Receiver<u64>>;

    /// Makes the rows that the configuration keeps what it says, in one
    /// transaction, or changes nothing. What left the file is revoked; a revoked
    /// set of PCRs stays revoked, whatever the file says. Rows of the API stay.
    fn seed<'a>(&'a self, specs: &'a [WorkloadSpec], now: UnixMs) -> Answer<'a, Seeded>;

    /// Makes one change in one transaction: check, epoch, rows, audit, idempotency; or nothing.
    /// What is wrong with the request itself is [`StoreError::Refused`].
    fn change(&self, request: ChangeRequest) -> Answer<'_, Changed>;

    /// Workloads by name, revoked ones too.
    fn workloads<'a>(&'a self, visible: &'a Visible, page: Page) -> Answer<'a, Paged<WorkloadRow>>;

    /// One workload.
    fn workload<'a>(&'a self, name: &'a str) -> Answer<'a, Option<WorkloadRow>>;

    /// Measurements by workload and name, of every state.
    fn measurements<'a>(
        &'a self,
        visible: &'a Visible,
        filter: &'a MeasurementFilter,
        page: Page,
    ) -> Answer<'a, Paged<MeasurementRow>>;

    /// One measurement.
    fn measurement<'a>(&'a self, workload: &'a str, name: &'a str) -> Answer<'a, Option<MeasurementRow>>;

    /// Revoked sets of PCRs.
    fn tombstones<'a>(&'a self, visible: &'a Visible, page: Page) -> Answer<'a, Paged<TombstoneRow>>;

    /// Sessions that somebody ended after this epoch.
    fn ended_since(&self, epoch: Epoch) -> Answer<'_, Vec<EndedSession>>;
}

/// Who has passed.
pub trait SessionStore: Send + Sync {
    /// Commits audit rows and sessions together. The rows go on this process's own chain.
    ///
    /// A session that was ended, or whose measurement or workload was revoked or
    /// made anew after the policy that admitted it, is not written, and neither is
    /// its admission: those are told.
    fn append(&self, batch: Batch) -> Answer<'_, Appended>;

    /// Sessions whose lease goes on after `now`.
    fn sessions(&self, now: UnixMs) -> Answer<'_, Vec<SessionRow>>;

    /// A page of them, by id.
    fn session_page<'a>(
        &'a self,
        visible: &'a Visible,
        filter: &'a SessionFilter,
        page: Page,
        now: UnixMs,
    ) -> Answer<'a, Paged<SessionRow>>;

    /// Those of these ids that live: one query, however many. At most 10,000 ids.
    fn sessions_by_id<'a>(&'a self, ids: &'a [SessionId], now: UnixMs) -> Answer<'a, Vec<SessionRow>>;

    /// The live session of this key.
    fn session_by_key(&self, key: KeyThumbprint, now: UnixMs) -> Answer<'_, Option<SessionRow>>;
}

/// The proxies that serve one store.
pub trait ReplicaStore: Send + Sync {
    /// Says that this replica lives, what it holds and which policy it enforces.
    fn heartbeat<'a>(&'a self, replica: &'a ReplicaRow) -> Answer<'a, ()>;

    /// Every replica heard of within a day.
    fn replicas(&self, now: UnixMs) -> Answer<'_, Vec<ReplicaRow>>;
}

/// API tokens.
pub trait TokenStore: Send + Sync {
    /// Keeps a new token and its audit row. A live token of this name is [`ChangeError::Exists`].
    fn add_token<'a>(&'a self, token: &'a TokenRow, actor: &'a Actor) -> Answer<'a, ()>;

    /// The token with this hash, revoked and expired ones too.
    fn token_by_hash(&self, hash: [u8; 32]) -> Answer<'_, Option<TokenRow>>;

    /// Tokens by id.
    fn tokens(&self, page: Page) -> Answer<'_, Paged<TokenRow>>;

    /// Revokes a token, with its audit row.
    fn revoke_token<'a>(&'a self, id: [u8; 16], actor: &'a Actor, now: UnixMs) -> Answer<'a, ()>;

    /// Notes that a token was used, at most once a minute for each.
    fn touch_token(&self, id: [u8; 16], now: UnixMs) -> Answer<'_, ()>;
}

/// What was decided.
pub trait AuditStore: Send + Sync {
    /// A page of the audit, newest first. A scoped reader sees rows of its workloads only.
    fn audit<'a>(
        &'a self,
        visible: &'a Visible,
        filter: &'a AuditFilter,
        page: Page,
    ) -> Answer<'a, AuditPage>;

    /// Heads of all chains.
    fn chains(&self) -> Answer<'_, Vec<ChainRow>>;

    /// The same with the epochs that belong to them.
    fn audit_state(&self) -> Answer<'_, AuditState>;

    /// Rows of one chain after `seq`, oldest first, at most `limit`.
    fn chain_rows<'a>(&'a self, chain: &'a str, after: u64, limit: u32) -> Answer<'a, Vec<AuditRow>>;

    /// Checkpoints of one chain, oldest first.
    fn checkpoints<'a>(&'a self, chain: &'a str) -> Answer<'a, Vec<CheckpointRow>>;

    /// Signs where the chains stand: this process's own and the policy's. Asked every ten seconds.
    fn checkpoint(&self, now: UnixMs) -> Answer<'_, ()>;
}

/// A database that holds all of it.
pub trait Store: PolicyStore + SessionStore + ReplicaStore + TokenStore + AuditStore {
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
