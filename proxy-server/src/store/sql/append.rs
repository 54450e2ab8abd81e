//! Rows of admissions: the one path that is walked thousands of times a second.
//!
//! ```text
//!   batch ──hashes after the head in memory──► one statement, guarded ──► committed
//!                                                   │ the head, or the policy, is another
//!                                                   ▼
//!                                      locked, looked at row by row, written
//! ```

use std::collections::{HashMap, HashSet};

use countersign_protocol::{Epoch, SessionId};

use super::{
    SqlStore,
    change::lock::{PolicyChange, chain},
    connection::{Failure, Pool, Row, Transaction},
    postgres_append,
    postgres_held::Held,
    sqlite_append,
};
use crate::audit::{ChainName, Head};
use crate::store::{Appended, AuditEvent, Batch, SessionRow, StoreError, UnixMs};

/// What this process knows of its own chain.
#[derive(Clone, Debug)]
pub(super) enum OwnChain {
    /// Nothing: it has not written yet.
    Unread,
    /// Where it stands.
    At { id: i64, head: Head },
    /// Batches were on their way when a connection failed or patience ended: it stands where it
    /// stood, or one of them has moved it, or will. Each starts from `head`, so only one of them can.
    Unsure { head: Head, written: Vec<Head> },
}

/// A batch with its places in the chain.
pub(super) struct Draft {
    pub(super) chain: i64,
    /// Where the chain must stand.
    pub(super) from: Head,
    /// Where it will.
    pub(super) to: Head,
    /// No policy newer than this may have been committed.
    pub(super) newest_policy: Epoch,
    pub(super) events: Vec<(Head, AuditEvent)>,
    /// At most one of each id, in the order of ids: two replicas that renew the
    /// same sessions then wait for each other, and not in a circle.
    pub(super) sessions: Vec<SessionRow>,
}

/// Whether the guards of a draft held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guarded {
    Written,
    /// Nothing was written.
    Refused,
}

impl SqlStore {
    pub(super) async fn append_batch(&self, batch: Batch) -> Result<Appended, Failure> {
        let Batch { events, mut sessions } = batch;
        for row in &mut sessions {
            row.replica.get_or_insert(self.identity.id);
        }
        let sessions = last_of_each(sessions);
        if events.is_empty() && sessions.is_empty() {
            return Ok(Appended::default());
        }
        // Held while it waits: batches of one process come one after the other.
        let mut own = self.own_chain.lock().await;
        if let OwnChain::At { id, head } = *own {
            let oldest = sessions.iter().map(|row| row.epoch).min();
            let newest_policy = oldest.unwrap_or(Epoch(i64::MAX.cast_unsigned()));
            let draft = Draft::new(self.own_name, id, head, newest_policy, events, sessions);
            *own = OwnChain::Unsure { head, written: vec![draft.to] };
            // Sessions alone do not move the chain: then its head says nothing of them.
            let moved = (draft.to != head).then_some(draft.to);
            let mut sent = None;
            match self.write_at_once(&draft).await {
                Ok(Guarded::Written) => {
                    *own = OwnChain::At { id, head: draft.to };
                    return Ok(Appended::default());
                }
                Ok(Guarded::Refused) => *own = OwnChain::At { id, head },
                Err(error) => match self.settle(&mut own).await {
                    // It was written, and only the answer was lost.
                    Ok(found) if moved == Some(found) => return Ok(Appended::default()),
                    // Nothing is written yet: a deadlock, or a connection that died. The database
                    // may still be at it, so the chain stays unsure until another batch has moved it.
                    Ok(_) => sent = moved,
                    Err(Failure::Other(forked)) => return Err(forked.into()),
                    Err(Failure::Database(_)) => return Err(error.into()),
                },
            }
            let Draft { events, sessions, .. } = draft;
            let events = events.into_iter().map(|(_, event)| event).collect();
            return self.look_and_append(&mut own, events, sessions, sent).await;
        }
        self.look_and_append(&mut own, events, sessions, None).await
    }

    /// Finds out where the chain stands after a failure.
    async fn settle(&self, own: &mut OwnChain) -> Result<Head, Failure> {
        let row = self.journal.fetch_optional(OWN_CHAIN, &[(&self.own_name.to_string()).into()]).await?;
        let row = row.ok_or(sqlx::Error::RowNotFound)?;
        let found = self.recognise(own, &row)?;
        if !matches!(own, OwnChain::Unsure { head, .. } if *head == found) {
            *own = OwnChain::At { id: row.get(0)?, head: found };
        }
        Ok(found)
    }

    async fn write_at_once(&self, draft: &Draft) -> Result<Guarded, sqlx::Error> {
        match &self.journal {
            Pool::Sqlite(pool) => sqlite_append::at_once(pool, draft).await,
            Pool::Postgres(pool) => postgres_append::write(Held::of(pool).await?.get()?, draft).await,
        }
    }

    /// Reads where the chain stands and which sessions do, and writes what may be. `sent` is where
    /// the same batch leads that may still be on its way: whoever holds the chain's row is waited
    /// for here, and that may be it.
    async fn look_and_append(
        &self,
        own: &mut OwnChain,
        events: Vec<AuditEvent>,
        sessions: Vec<SessionRow>,
        sent: Option<Head>,
    ) -> Result<Appended, Failure> {
        if matches!(own, OwnChain::Unread) {
            self.make_own_chain().await?;
        }
        let mut transaction = self.journal.begin().await?;
        let lock = self.journal.either(OWN_CHAIN, OWN_CHAIN_LOCKED);
        let row = transaction.fetch_one(lock, &[(&self.own_name.to_string()).into()]).await?;
        let (id, epoch) = (row.get(0)?, row.epoch(3)?);
        let found = self.recognise(own, &row)?;
        if sent == Some(found) {
            *own = OwnChain::At { id, head: found };
            return Ok(Appended::default());
        }
        let refused = refused(&mut transaction, &sessions).await?;
        let ended = ended(&mut transaction, &sessions).await?;
        let stands = |session: &SessionId| !refused.contains(session) && !ended.contains(session);
        let events = events
            .into_iter()
            .filter(|event| event.kind != "admission" || event.session.as_ref().is_none_or(stands));
        let sessions = sessions.into_iter().filter(|row| stands(&row.id)).collect();
        let draft = Draft::new(self.own_name, id, found, epoch, events.collect(), sessions);
        *own = own.unsure(found, draft.to);
        let written = match &mut transaction {
            Transaction::Sqlite(own) => sqlite_append::write(own, &draft).await?,
            Transaction::Postgres(own) => postgres_append::write(own.get()?, &draft).await?,
        };
        if written == Guarded::Refused {
            return Err(self.forked(found, found).into());
        }
        transaction.commit().await?;
        *own = OwnChain::At { id, head: draft.to };
        Ok(Appended { refused: sorted(refused), ended: sorted(ended) })
    }

    /// The head in the database, if it is one that this process left there.
    fn recognise(&self, own: &OwnChain, row: &Row) -> Result<Head, Failure> {
        let found = Head { seq: row.count(1)?, hash: row.bytes(2)? };
        let (expected, written) = match own {
            OwnChain::Unread => return Ok(found),
            OwnChain::At { head, .. } => (*head, &[][..]),
            OwnChain::Unsure { head, written } => (*head, &written[..]),
        };
        let known = found == expected || written.contains(&found);
        if known { Ok(found) } else { Err(self.forked(expected, found).into()) }
    }

    fn forked(&self, expected: Head, actual: Head) -> StoreError {
        StoreError::Forked { chain: self.own_name.to_string(), expected: expected.seq, actual: actual.seq }
    }

    /// With the policy locked: a chain that is made while the policy changes must
    /// not miss that change.
    async fn make_own_chain(&self) -> Result<(), Failure> {
        let mut change = PolicyChange::begin(self, UnixMs(0)).await?;
        let committed = change.committed;
        chain(&mut change.transaction, self.own_name, committed).await?;
        Ok(change.transaction.commit().await?)
    }
}

impl OwnChain {
    /// What is known while a batch is on its way from where the chain was found.
    fn unsure(&self, found: Head, to: Head) -> Self {
        let mut written = match self {
            Self::Unsure { head, written } if *head == found => written.clone(),
            // Whatever else was on its way starts from where the chain is no more.
            _ => Vec::new(),
        };
        if written.len() == UNSURE {
            written.remove(0);
        }
        written.push(to);
        Self::Unsure { head: found, written }
    }
}

impl Draft {
    fn new(
        name: ChainName,
        chain: i64,
        from: Head,
        newest_policy: Epoch,
        events: Vec<AuditEvent>,
        sessions: Vec<SessionRow>,
    ) -> Self {
        let mut to = from;
        let mut placed = Vec::with_capacity(events.len());
        for event in events {
            to = to.after(&name, &event);
            placed.push((to, event));
        }
        Self { chain, from, to, newest_policy, events: placed, sessions }
    }
}

/// The highest sequence number of each session counts.
fn last_of_each(mut sessions: Vec<SessionRow>) -> Vec<SessionRow> {
    sessions.sort_by(|a, b| a.id.cmp(&b.id).then(b.sequence.cmp(&a.sequence)));
    sessions.dedup_by_key(|row| row.id);
    sessions
}

fn sorted(sessions: HashSet<SessionId>) -> Vec<SessionId> {
    let mut sessions: Vec<_> = sessions.into_iter().collect();
    sessions.sort_unstable();
    sessions
}

/// Sessions whose measurement or workload is not what it was when they were admitted.
async fn refused(
    transaction: &mut Transaction,
    sessions: &[SessionRow],
) -> Result<HashSet<SessionId>, Failure> {
    let mut refused = HashSet::new();
    let mut since: HashMap<(&str, &str), Option<Epoch>> = HashMap::new();
    for session in sessions {
        let key = (session.workload.as_str(), session.measurement.as_str());
        let since = match since.get(&key) {
            Some(since) => *since,
            None => {
                let row = transaction.fetch_optional(ADMITS_SINCE, &[key.0.into(), key.1.into()]).await?;
                let found = row.map(|row| row.epoch(0)).transpose()?;
                since.insert(key, found);
                found
            }
        };
        if since.is_none_or(|since| session.epoch < since) {
            refused.insert(session.id);
        }
    }
    Ok(refused)
}

/// Sessions that somebody ended.
async fn ended(
    transaction: &mut Transaction,
    sessions: &[SessionRow],
) -> Result<HashSet<SessionId>, Failure> {
    let mut ended = HashSet::new();
    if transaction.fetch_one("SELECT count(*) FROM ended_session", &[]).await?.count(0)? > 0 {
        for session in sessions {
            if transaction.fetch_optional(ENDED, &[session.id.as_bytes().into()]).await?.is_some() {
                ended.insert(session.id);
            }
        }
    }
    Ok(ended)
}

/// Batches on their way that are remembered. Each took a caller's whole patience, which is longer
/// than the database works on anything: the oldest is long dead when so many have failed.
const UNSURE: usize = 16;

const OWN_CHAIN: &str = "SELECT id, seq, hash, epoch FROM audit_chain WHERE name = $1";
const OWN_CHAIN_LOCKED: &str = "SELECT id, seq, hash, epoch FROM audit_chain WHERE name = $1 FOR UPDATE";

const ADMITS_SINCE: &str = "
SELECT m.epoch FROM measurement m JOIN workload w ON w.name = m.workload
WHERE m.workload = $1 AND m.name = $2 AND m.state = 'active' AND w.state = 'active'";

const ENDED: &str = "SELECT id FROM ended_session WHERE id = $1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AuditWriter, Missing, StoreConfig};

    fn row() -> Batch {
        let event = AuditEvent {
            at: UnixMs(1),
            kind: "refusal".into(),
            code: "pcr-mismatch".into(),
            epoch: Epoch(0),
            workload: None,
            measurement: None,
            session: None,
            request_id: None,
            actor: None,
            before: None,
            after: None,
            evidence: None,
            detail: None,
        };
        Batch { events: vec![event], sessions: Vec::new() }
    }

    #[tokio::test]
    async fn a_lost_answer_is_settled_by_what_the_database_has() {
        let directory = std::env::temp_dir().join(format!("countersign-unsure-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let config = StoreConfig::Sqlite { directory: directory.clone() };
        let store = SqlStore::open(&config, AuditWriter::unsigned([1; 16]), Missing::Make).await.unwrap();
        let at = async || match *store.own_chain.lock().await {
            OwnChain::At { head, .. } => head,
            ref other => panic!("{other:?}"),
        };
        store.append_batch(row()).await.unwrap();
        let first = at().await;
        store.append_batch(row()).await.unwrap();
        let second = at().await;
        let lost = Head { seq: 3, hash: [0; 32] };
        let unsure = async |head, written: &[Head]| {
            let mut own = store.own_chain.lock().await;
            *own = OwnChain::Unsure { head, written: written.to_vec() };
            store.settle(&mut own).await
        };
        for written in [&[second][..], &[second, lost], &[lost, second]] {
            assert_eq!(unsure(first, written).await.unwrap(), second, "one of them was written");
            assert_eq!(at().await, second);
        }
        assert_eq!(unsure(second, &[lost]).await.unwrap(), second, "none was written");
        let state = format!("{:?}", store.own_chain.lock().await);
        assert!(state.contains("Unsure"), "one of them may still be: {state}");
        unsure(first, &[lost]).await.unwrap_err();
        store.append_batch(row()).await.unwrap_err();
        unsure(second, &[lost]).await.unwrap();
        store.append_batch(row()).await.unwrap();
        assert_eq!(at().await.seq, 3, "whatever was on its way comes too late now");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
