use countersign_protocol::Epoch;
use serde_json::Value as Json;

use crate::store::sql::{
    SqlStore,
    connection::{Failure, Pool, Row, Transaction, Value},
};
use crate::{
    audit::{ChainName, Head},
    store::{Actor, AuditEvent, Committed, EMPTY, UnixMs},
};

/// A policy change under way. It holds the lock on the policy's one row, so that
/// changes come one after the other and the order of commits is that of epochs.
///
/// Rolled back when it is dropped without [`Self::commit`].
pub(in crate::store::sql) struct PolicyChange {
    pub(in crate::store::sql) transaction: Transaction,
    /// The policy as it is, and as it will be once [`Self::raise`] was called.
    pub(in crate::store::sql) committed: Committed,
    pub(in crate::store::sql) now: UnixMs,
    raised: bool,
    /// The policy chain's head after the rows of this change.
    head: Option<(i64, Head)>,
}

/// What a row of the policy chain says.
#[derive(Default)]
pub(in crate::store::sql) struct Said<'a> {
    pub(in crate::store::sql) kind: &'static str,
    pub(in crate::store::sql) code: &'static str,
    pub(in crate::store::sql) workload: Option<&'a str>,
    pub(in crate::store::sql) measurement: Option<&'a str>,
    pub(in crate::store::sql) session: Option<countersign_protocol::SessionId>,
    pub(in crate::store::sql) before: Option<Json>,
    pub(in crate::store::sql) after: Option<Json>,
    pub(in crate::store::sql) detail: Option<String>,
}

impl PolicyChange {
    /// Waits for its turn.
    pub(in crate::store::sql) async fn begin(store: &SqlStore, now: UnixMs) -> Result<Self, sqlx::Error> {
        let mut transaction = store.policy.begin().await?;
        let lock = match store.policy {
            // Its write lock is taken already.
            Pool::Sqlite(_) => COMMITTED,
            Pool::Postgres(_) => COMMITTED_AND_LOCKED,
        };
        let committed = committed(&transaction.fetch_one(lock, &[]).await?)?;
        Ok(Self { transaction, committed, now, raised: false, head: None })
    }

    /// `epoch + 1`, once for each change, and before it touches any session: rows
    /// on their way take a chain first and sessions then, and so does this.
    pub(in crate::store::sql) async fn raise(&mut self) -> Result<Committed, sqlx::Error> {
        self.raise_above(EMPTY).await
    }

    /// The same, to more than `floor` as well.
    pub(in crate::store::sql) async fn raise_above(
        &mut self,
        floor: Epoch,
    ) -> Result<Committed, sqlx::Error> {
        if !self.raised {
            let row = self.transaction.fetch_one(RAISE, &[self.now.into(), floor.into()]).await?;
            self.committed = committed(&row)?;
            self.transaction.execute(STAMP, &[self.committed.epoch.into()]).await?;
            self.raised = true;
        }
        Ok(self.committed)
    }

    /// The row that commits with the change, or the change fails.
    pub(in crate::store::sql) async fn say(
        &mut self,
        actor: Option<&Actor>,
        said: Said<'_>,
    ) -> Result<(), Failure> {
        let Said { kind, code, workload, measurement, session, before, after, detail } = said;
        let event = AuditEvent {
            at: self.now,
            kind: kind.into(),
            code: code.into(),
            epoch: self.committed.epoch,
            workload: workload.map(str::to_owned),
            measurement: measurement.map(str::to_owned),
            session,
            request_id: actor.map(|actor| actor.request_id.clone()),
            actor: actor.map(|actor| actor.subject.clone()),
            before: before.map(|json| json.to_string()),
            after: after.map(|json| json.to_string()),
            evidence: None,
            detail,
        };
        let (chain, head) = self.head().await?;
        let next = head.after(&ChainName::Policy, &event);
        insert_event(&mut self.transaction, chain, next, &event).await?;
        let moved = [chain.into(), next.seq.into(), (&next.hash).into()];
        self.transaction.execute("UPDATE audit_chain SET seq = $2, hash = $3 WHERE id = $1", &moved).await?;
        self.head = Some((chain, next));
        Ok(())
    }

    /// Makes it last, and tells who listens.
    pub(in crate::store::sql) async fn commit(mut self) -> Result<Committed, sqlx::Error> {
        if self.raised && matches!(self.transaction, Transaction::Postgres(_)) {
            // Sent by the commit, and not at all when there is none.
            let epoch = self.committed.epoch.to_string();
            self.transaction.fetch_optional(NOTIFY, &[epoch.as_str().into()]).await?;
        }
        self.transaction.commit().await?;
        Ok(self.committed)
    }

    /// The policy chain's id and head, if this change wrote a row.
    pub(in crate::store::sql) fn head_now(&self) -> Option<(i64, Head)> {
        self.head
    }

    async fn head(&mut self) -> Result<(i64, Head), sqlx::Error> {
        let (id, head) = chain(&mut self.transaction, ChainName::Policy, self.committed).await?;
        Ok(self.head.unwrap_or((id, head)))
    }
}

/// The id and head of a chain; makes it when there is none. The policy's lock is held.
pub(in crate::store::sql) async fn chain(
    transaction: &mut Transaction,
    name: ChainName,
    committed: Committed,
) -> Result<(i64, Head), sqlx::Error> {
    let genesis = Head::genesis(&name);
    let name = name.to_string();
    let values = [(&name).into(), (&genesis.hash).into(), committed.epoch.into()];
    transaction.execute(NEW_CHAIN, &values).await?;
    let row = transaction.fetch_one(CHAIN, &[(&name).into()]).await?;
    Ok((row.get(0)?, Head { seq: row.count(1)?, hash: row.bytes(2)? }))
}

/// Writes one row at its place.
pub(in crate::store::sql) async fn insert_event(
    transaction: &mut Transaction,
    chain: i64,
    head: Head,
    event: &AuditEvent,
) -> Result<(), sqlx::Error> {
    let session = event.session.map(|id| *id.as_bytes());
    let values: [Value<'_>; 16] = [
        chain.into(),
        head.seq.into(),
        event.at.into(),
        event.kind.as_ref().into(),
        event.code.as_ref().into(),
        event.epoch.into(),
        (&event.workload).into(),
        (&event.measurement).into(),
        (&session).into(),
        (&event.request_id).into(),
        (&event.actor).into(),
        (&event.before).into(),
        (&event.after).into(),
        (&event.evidence).into(),
        (&event.detail).into(),
        (&head.hash).into(),
    ];
    transaction.execute(INSERT_EVENT, &values).await.map(drop)
}

/// The policy's one row.
pub(in crate::store::sql) fn committed(row: &Row) -> Result<Committed, sqlx::Error> {
    Ok(Committed { epoch: row.epoch(0)?, at: row.time(1)? })
}

/// Where [`crate::store::PolicyStore::hints`] come from.
pub(in crate::store::sql) const CHANNEL: &str = "countersign_policy";

pub(in crate::store::sql) const COMMITTED: &str = "SELECT epoch, committed_ms FROM policy WHERE id = 1";
const COMMITTED_AND_LOCKED: &str = "SELECT epoch, committed_ms FROM policy WHERE id = 1 FOR UPDATE";

const RAISE: &str = "
UPDATE policy SET epoch = CASE WHEN epoch < $2 THEN $2 ELSE epoch END + 1, committed_ms = $1
WHERE id = 1 RETURNING epoch, committed_ms";
const STAMP: &str = "UPDATE audit_chain SET epoch = $1";
const NOTIFY: &str = "SELECT CAST(pg_notify('countersign_policy', $1) AS TEXT)";

const NEW_CHAIN: &str = "
INSERT INTO audit_chain (name, seq, hash, epoch) VALUES ($1, 0, $2, $3) ON CONFLICT (name) DO NOTHING";
const CHAIN: &str = "SELECT id, seq, hash FROM audit_chain WHERE name = $1";

const INSERT_EVENT: &str = "
INSERT INTO audit (chain, seq, at_ms, kind, code, epoch, workload, measurement, session, request_id, actor,
                   before, after, evidence, detail, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
