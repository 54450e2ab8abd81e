//! One store over two databases.
//!
//! ```text
//!   change/   one policy change: lock, decide, epoch + 1, rows, audit, commit
//!   append    admissions, in batches, on this process's own chain
//!   seed      what the configuration file keeps
//!   lists, sessions, tokens, replicas, audit      reading
//!   prune     what is no longer kept
//!   connection    the same SQL for both
//!   sqlite, postgres (and …_append)   what differs: pools, durability, hints, the bulk statement
//! ```

mod append;
mod audit;
mod chain;
mod change;
mod connection;
mod lists;
mod open;
mod policy;
mod postgres;
mod postgres_append;
mod prune;
mod replicas;
mod rows;
mod seed;
mod sessions;
mod sqlite;
mod sqlite_append;
mod tokens;

use std::sync::Arc;

use countersign_protocol::{Epoch, KeyThumbprint, SessionId};
use tokio::sync::{Mutex, watch};

use append::OwnChain;
use connection::{Failure, Pool};
pub use open::{AuditWriter, Missing, StoreConfig, open};

use super::{
    Actor, Answer, Appended, AuditFilter, AuditPage, AuditRow, AuditStore, Batch, ChainRow, ChangeRequest,
    Changed, CheckpointRow, Committed, EndedSession, MeasurementFilter, MeasurementRow, Page, Paged,
    PolicyStore, ReplicaRow, ReplicaStore, Seeded, SessionFilter, SessionRow, SessionStore, Store,
    StoredPolicy, TokenRow, TokenStore, TombstoneRow, UnixMs, Visible, WorkloadRow,
};
use crate::config::{AuditRetention, WorkloadSpec};

/// The store in a database. Cheap to clone.
///
/// Pools are apart because they promise different things: a policy change is on
/// the disk when it is answered, admissions must be quick, reading waits for
/// neither, and the question for the epoch waits for no reader.
#[derive(Clone, Debug)]
pub struct SqlStore {
    policy: Pool,
    journal: Pool,
    reader: Pool,
    poll: Pool,
    identity: AuditWriter,
    /// The name of the chain that [`SessionStore::append`] writes.
    own_name: Arc<str>,
    own_chain: Arc<Mutex<OwnChain>>,
    hints: Option<watch::Receiver<u64>>,
}

#[cfg(test)]
impl SqlStore {
    /// Kind, code and epoch of every row: first the policy's, then those of the processes.
    pub(crate) async fn audit_for_tests(&self) -> Vec<String> {
        let mut all = Vec::new();
        for chain in self.read_chains().await.unwrap() {
            for row in self.read_chain(&chain.name, 0, 10_000).await.unwrap() {
                all.push(format!("{} {} {}", row.event.kind, row.event.code, row.event.epoch));
            }
        }
        all
    }

    /// What no code of ours would do to the database.
    pub(crate) async fn sql_for_tests(&self, sql: &'static str) {
        self.policy.execute(sql, &[]).await.unwrap();
    }
}

impl PolicyStore for SqlStore {
    fn committed(&self) -> Answer<'_, Committed> {
        Box::pin(async { self.read_committed().await.map_err(Failure::doing("read the epoch")) })
    }

    fn load(&self) -> Answer<'_, StoredPolicy> {
        Box::pin(async { self.load_policy().await.map_err(Failure::doing("read the policy")) })
    }

    fn hints(&self) -> Option<watch::Receiver<u64>> {
        self.hints.clone()
    }

    fn seed<'a>(&'a self, specs: &'a [WorkloadSpec], now: UnixMs) -> Answer<'a, Seeded> {
        Box::pin(async move { self.seed_policy(specs, now).await.map_err(Failure::doing("seed the policy")) })
    }

    fn change(&self, request: ChangeRequest) -> Answer<'_, Changed> {
        Box::pin(async { self.make_change(request).await.map_err(Failure::doing("change the policy")) })
    }

    fn workloads<'a>(&'a self, visible: &'a Visible, page: Page) -> Answer<'a, Paged<WorkloadRow>> {
        Box::pin(
            async move { self.workload_page(visible, &page).await.map_err(Failure::doing("list workloads")) },
        )
    }

    fn workload<'a>(&'a self, name: &'a str) -> Answer<'a, Option<WorkloadRow>> {
        Box::pin(async move { self.one_workload(name).await.map_err(Failure::doing("read a workload")) })
    }

    fn measurements<'a>(
        &'a self,
        visible: &'a Visible,
        filter: &'a MeasurementFilter,
        page: Page,
    ) -> Answer<'a, Paged<MeasurementRow>> {
        Box::pin(async move {
            let page = self.measurement_page(visible, filter, &page).await;
            page.map_err(Failure::doing("list measurements"))
        })
    }

    fn measurement<'a>(&'a self, workload: &'a str, name: &'a str) -> Answer<'a, Option<MeasurementRow>> {
        Box::pin(async move {
            self.one_measurement(workload, name).await.map_err(Failure::doing("read a measurement"))
        })
    }

    fn tombstones<'a>(&'a self, visible: &'a Visible, page: Page) -> Answer<'a, Paged<TombstoneRow>> {
        Box::pin(async move {
            self.tombstone_page(visible, &page).await.map_err(Failure::doing("list tombstones"))
        })
    }

    fn ended_since(&self, epoch: Epoch) -> Answer<'_, Vec<EndedSession>> {
        Box::pin(async move { self.read_ended(epoch).await.map_err(Failure::doing("read ended sessions")) })
    }
}

impl SessionStore for SqlStore {
    fn append(&self, batch: Batch) -> Answer<'_, Appended> {
        Box::pin(async { self.append_batch(batch).await.map_err(Failure::doing("append to the audit")) })
    }

    fn sessions(&self, now: UnixMs) -> Answer<'_, Vec<SessionRow>> {
        Box::pin(async move { self.live_sessions(now).await.map_err(Failure::doing("read sessions")) })
    }

    fn session_page<'a>(
        &'a self,
        visible: &'a Visible,
        filter: &'a SessionFilter,
        page: Page,
        now: UnixMs,
    ) -> Answer<'a, Paged<SessionRow>> {
        Box::pin(async move {
            let page = self.sessions_paged(visible, filter, &page, now).await;
            page.map_err(Failure::doing("list sessions"))
        })
    }

    fn sessions_by_id<'a>(&'a self, ids: &'a [SessionId], now: UnixMs) -> Answer<'a, Vec<SessionRow>> {
        Box::pin(async move { self.sessions_of_ids(ids, now).await.map_err(Failure::doing("read leases")) })
    }

    fn session_by_key(&self, key: KeyThumbprint, now: UnixMs) -> Answer<'_, Option<SessionRow>> {
        Box::pin(async move { self.session_of_key(key, now).await.map_err(Failure::doing("find a session")) })
    }
}

impl ReplicaStore for SqlStore {
    fn heartbeat<'a>(&'a self, replica: &'a ReplicaRow) -> Answer<'a, ()> {
        Box::pin(async move { self.beat(replica).await.map_err(Failure::doing("say that it lives")) })
    }

    fn replicas(&self, now: UnixMs) -> Answer<'_, Vec<ReplicaRow>> {
        Box::pin(async move { self.read_replicas(now).await.map_err(Failure::doing("read the replicas")) })
    }
}

impl TokenStore for SqlStore {
    fn add_token<'a>(&'a self, token: &'a TokenRow, actor: &'a Actor) -> Answer<'a, ()> {
        Box::pin(async move { self.insert_token(token, actor).await.map_err(Failure::doing("add a token")) })
    }

    fn token_by_hash(&self, hash: [u8; 32]) -> Answer<'_, Option<TokenRow>> {
        Box::pin(async move { self.token_of_hash(hash).await.map_err(Failure::doing("find a token")) })
    }

    fn tokens(&self, page: Page) -> Answer<'_, Paged<TokenRow>> {
        Box::pin(async move { self.token_page(&page).await.map_err(Failure::doing("list tokens")) })
    }

    fn revoke_token<'a>(&'a self, id: [u8; 16], actor: &'a Actor, now: UnixMs) -> Answer<'a, ()> {
        Box::pin(
            async move { self.end_token(id, actor, now).await.map_err(Failure::doing("revoke a token")) },
        )
    }

    fn touch_token(&self, id: [u8; 16], now: UnixMs) -> Answer<'_, ()> {
        Box::pin(
            async move { self.note_token_use(id, now).await.map_err(Failure::doing("note a token's use")) },
        )
    }
}

impl AuditStore for SqlStore {
    fn audit<'a>(
        &'a self,
        visible: &'a Visible,
        filter: &'a AuditFilter,
        page: Page,
    ) -> Answer<'a, AuditPage> {
        Box::pin(async move {
            self.audit_page(visible, filter, &page).await.map_err(Failure::doing("read the audit"))
        })
    }

    fn chains(&self) -> Answer<'_, Vec<ChainRow>> {
        Box::pin(async { self.read_chains().await.map_err(Failure::doing("read the audit's heads")) })
    }

    fn chain_rows<'a>(&'a self, chain: &'a str, after: u64, limit: u32) -> Answer<'a, Vec<AuditRow>> {
        Box::pin(async move {
            self.read_chain(chain, after, limit).await.map_err(Failure::doing("read an audit chain"))
        })
    }

    fn checkpoints<'a>(&'a self, chain: &'a str) -> Answer<'a, Vec<CheckpointRow>> {
        Box::pin(
            async move { self.read_checkpoints(chain).await.map_err(Failure::doing("read checkpoints")) },
        )
    }

    fn checkpoint(&self, now: UnixMs) -> Answer<'_, ()> {
        Box::pin(async move { self.sign_heads(now).await.map_err(Failure::doing("sign the audit's heads")) })
    }
}

impl Store for SqlStore {
    fn prune(&self, retention: AuditRetention, now: UnixMs) -> Answer<'_, u64> {
        Box::pin(
            async move { self.prune_some(retention, now).await.map_err(Failure::doing("drop old rows")) },
        )
    }

    fn tidy(&self) -> Answer<'_, ()> {
        Box::pin(async { self.tidy_up().await.map_err(Failure::doing("tidy the database")) })
    }
}
