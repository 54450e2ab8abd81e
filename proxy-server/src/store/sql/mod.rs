//! One store over two databases.
//!
//! ```text
//!   change/   one policy change: lock, decide, epoch + 1, rows, audit, commit
//!   append    admissions, in batches, on this process's own chain
//!   seed      what the configuration file keeps
//!   lists, sessions, tokens, replicas, audit      reading
//!   prune     what is no longer kept
//!   backup    a copy of SQLite's file; pg_dump makes PostgreSQL's
//!   connection    the same SQL for both
//!   sqlite, postgres (and …_append, …_held)   what differs: pools, durability, hints, the bulk statement
//! ```

mod append;
mod audit;
mod audit_page;
mod backup;
mod change;
mod connection;
mod failure;
mod lists;
mod open;
mod policy;
mod postgres;
mod postgres_address;
mod postgres_append;
mod postgres_held;
mod postgres_hints;
mod prune;
mod replicas;
mod rows;
mod seed;
mod sessions;
mod sqlite;
mod sqlite_append;
mod tokens;
mod value;

use std::{sync::Arc, time::Duration};

use countersign_protocol::{Epoch, KeyThumbprint, SessionId};
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

use append::OwnChain;
pub use backup::BackupError;
use connection::{Failure, Pool};
pub use open::{AuditWriter, Missing, StoreConfig, open};
pub use postgres_address::dump_address;

use super::{
    Actor, Answer, Appended, AuditFilter, AuditPage, AuditRow, AuditState, AuditStore, Batch, ChainRow,
    ChangeRequest, Changed, CheckpointRow, Committed, EndedSession, MeasurementFilter, MeasurementRow, Page,
    Paged, PolicyStore, ReplicaRow, ReplicaStore, Seeded, SessionFilter, SessionRow, SessionStore, Store,
    StoreError, StoredPolicy, TokenRow, TokenStore, TombstoneRow, UnixMs, Visible, WorkloadRow,
};
use crate::{
    audit::ChainName,
    config::{AuditRetention, WorkloadSpec},
};

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
    /// The chain that [`SessionStore::append`] writes.
    own_name: ChainName,
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

    /// What a statement meets on each of the connections that read from PostgreSQL.
    pub(crate) async fn isolation_for_tests(&self) -> Vec<String> {
        let Pool::Postgres(pool) = &self.reader else { return Vec::new() };
        let mut all = Vec::new();
        for _ in 0..pool.options().get_max_connections() {
            all.push(pool.acquire().await.unwrap());
        }
        let mut found = Vec::new();
        for connection in &mut all {
            let ask = sqlx::query_scalar("SELECT current_setting('transaction_isolation')");
            found.push(ask.fetch_one(&mut **connection).await.unwrap());
        }
        found
    }

    /// Returns when every connection to PostgreSQL is back in its pool.
    pub(crate) async fn resting_for_tests(&self) {
        for pool in [&self.policy, &self.journal, &self.reader, &self.poll] {
            while let Pool::Postgres(pool) = pool
                && pool.num_idle() < pool.size() as usize
            {
                tokio::task::yield_now().await;
            }
        }
    }

    /// What no code of ours would do to the database.
    pub(crate) async fn sql_for_tests(&self, sql: &'static str) {
        self.policy.execute(sql, &[]).await.unwrap();
    }
}

impl PolicyStore for SqlStore {
    fn committed(&self) -> Answer<'_, Committed> {
        within("read the epoch", async { self.read_committed().await })
    }

    fn load(&self) -> Answer<'_, StoredPolicy> {
        within("read the policy", async { self.load_policy().await })
    }

    fn hints(&self) -> Option<watch::Receiver<u64>> {
        self.hints.clone()
    }

    fn seed<'a>(&'a self, specs: &'a [WorkloadSpec], now: UnixMs) -> Answer<'a, Seeded> {
        within("seed the policy", async move { self.seed_policy(specs, now).await })
    }

    fn change(&self, request: ChangeRequest) -> Answer<'_, Changed> {
        within("change the policy", async { self.make_change(request).await })
    }

    fn workloads<'a>(&'a self, visible: &'a Visible, page: Page) -> Answer<'a, Paged<WorkloadRow>> {
        within("list workloads", async move { self.workload_page(visible, &page).await })
    }

    fn workload<'a>(&'a self, name: &'a str) -> Answer<'a, Option<WorkloadRow>> {
        within("read a workload", async move { self.one_workload(name).await })
    }

    fn measurements<'a>(
        &'a self,
        visible: &'a Visible,
        filter: &'a MeasurementFilter,
        page: Page,
    ) -> Answer<'a, Paged<MeasurementRow>> {
        within("list measurements", async move { self.measurement_page(visible, filter, &page).await })
    }

    fn measurement<'a>(&'a self, workload: &'a str, name: &'a str) -> Answer<'a, Option<MeasurementRow>> {
        within("read a measurement", async move { self.one_measurement(workload, name).await })
    }

    fn tombstones<'a>(&'a self, visible: &'a Visible, page: Page) -> Answer<'a, Paged<TombstoneRow>> {
        within("list tombstones", async move { self.tombstone_page(visible, &page).await })
    }

    fn ended_since(&self, epoch: Epoch) -> Answer<'_, Vec<EndedSession>> {
        within("read ended sessions", async move { self.read_ended(epoch).await })
    }
}

impl SessionStore for SqlStore {
    fn append(&self, batch: Batch) -> Answer<'_, Appended> {
        within("append to the audit", async { self.append_batch(batch).await })
    }

    fn sessions(&self, now: UnixMs) -> Answer<'_, Vec<SessionRow>> {
        within("read sessions", async move { self.live_sessions(now).await })
    }

    fn session_page<'a>(
        &'a self,
        visible: &'a Visible,
        filter: &'a SessionFilter,
        page: Page,
        now: UnixMs,
    ) -> Answer<'a, Paged<SessionRow>> {
        within("list sessions", async move { self.sessions_paged(visible, filter, &page, now).await })
    }

    fn sessions_by_id<'a>(&'a self, ids: &'a [SessionId], now: UnixMs) -> Answer<'a, Vec<SessionRow>> {
        within("read leases", async move { self.sessions_of_ids(ids, now).await })
    }

    fn session_by_key(&self, key: KeyThumbprint, now: UnixMs) -> Answer<'_, Option<SessionRow>> {
        within("find a session", async move { self.session_of_key(key, now).await })
    }
}

impl ReplicaStore for SqlStore {
    fn heartbeat<'a>(&'a self, replica: &'a ReplicaRow) -> Answer<'a, ()> {
        within("say that it lives", async move { self.beat(replica).await })
    }

    fn replicas(&self, now: UnixMs) -> Answer<'_, Vec<ReplicaRow>> {
        within("read the replicas", async move { self.read_replicas(now).await })
    }
}

impl TokenStore for SqlStore {
    fn add_token<'a>(&'a self, token: &'a TokenRow, actor: &'a Actor) -> Answer<'a, ()> {
        within("add a token", async move { self.insert_token(token, actor).await })
    }

    fn token_by_hash(&self, hash: [u8; 32]) -> Answer<'_, Option<TokenRow>> {
        within("find a token", async move { self.token_of_hash(hash).await })
    }

    fn tokens(&self, page: Page) -> Answer<'_, Paged<TokenRow>> {
        within("list tokens", async move { self.token_page(&page).await })
    }

    fn revoke_token<'a>(&'a self, id: [u8; 16], actor: &'a Actor, now: UnixMs) -> Answer<'a, ()> {
        within("revoke a token", async move { self.end_token(id, actor, now).await })
    }

    fn touch_token(&self, id: [u8; 16], now: UnixMs) -> Answer<'_, ()> {
        within("note a token's use", async move { self.note_token_use(id, now).await })
    }
}

impl AuditStore for SqlStore {
    fn audit<'a>(
        &'a self,
        visible: &'a Visible,
        filter: &'a AuditFilter,
        page: Page,
    ) -> Answer<'a, AuditPage> {
        within("read the audit", async move { self.audit_page(visible, filter, &page).await })
    }

    fn chains(&self) -> Answer<'_, Vec<ChainRow>> {
        within("read the audit's heads", async { self.read_chains().await })
    }

    fn audit_state(&self) -> Answer<'_, AuditState> {
        within("read the audit's heads and epochs", async { self.read_audit_state().await })
    }

    fn chain_rows<'a>(&'a self, chain: &'a str, after: u64, limit: u32) -> Answer<'a, Vec<AuditRow>> {
        within("read an audit chain", async move { self.read_chain(chain, after, limit).await })
    }

    fn checkpoints<'a>(&'a self, chain: &'a str) -> Answer<'a, Vec<CheckpointRow>> {
        within("read checkpoints", async move { self.read_checkpoints(chain).await })
    }

    fn checkpoint(&self, now: UnixMs) -> Answer<'_, ()> {
        within("sign the audit's heads", async move { self.sign_heads(now).await })
    }
}

impl Store for SqlStore {
    fn prune(&self, retention: AuditRetention, now: UnixMs) -> Answer<'_, u64> {
        within("drop old rows", async move { self.prune_some(retention, now).await })
    }

    fn tidy(&self) -> Answer<'_, ()> {
        within("tidy the database", async { self.tidy_up().await })
    }
}

/// Names what is done, and ends it when the database does not answer.
fn within<'a, T>(
    doing: &'static str,
    work: impl Future<Output = Result<T, Failure>> + Send + 'a,
) -> Answer<'a, T> {
    Box::pin(async move {
        match timeout(DEADLINE, work).await {
            Ok(done) => done.map_err(Failure::doing(doing)),
            Err(_) => Err(StoreError::Silent { doing, after: DEADLINE }),
        }
    })
}

/// Longer than any wait inside: what a server itself gives up is told with its reason.
const DEADLINE: Duration = Duration::from_secs(15);
