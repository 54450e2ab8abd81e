//! Reading the audit, and signing where its chains stand.

use std::collections::BTreeSet;

use countersign_protocol::{Epoch, SessionId};

use super::{
    SqlStore,
    change::lock::{COMMITTED, PolicyChange, committed},
    connection::{Failure, Row, Transaction},
    lists::{bad_cursor, limit},
};
use crate::audit::{ChainName, Checkpoint, Head, KeyId, Purpose};
use crate::store::{
    AuditEvent, AuditFilter, AuditPage, AuditRow, ChainRow, CheckpointRow, Page, Paged, UnixMs, Visible,
    texts::corrupt,
};

impl SqlStore {
    pub(super) async fn read_chains(&self) -> Result<Vec<ChainRow>, Failure> {
        let rows = self.reader.fetch_all(CHAINS, &[]).await?;
        let chain = |row: &Row| Ok(ChainRow { name: row.get(1)?, seq: row.count(2)?, hash: row.bytes(3)? });
        rows.iter().map(chain).collect()
    }

    pub(super) async fn read_chain(
        &self,
        chain: &str,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, Failure> {
        let values = [chain.into(), after.into(), u64::from(limit.clamp(1, MOST_ROWS)).into()];
        let rows = self.reader.fetch_all(FORWARD, &values).await?;
        rows.iter().map(|row| audit_row(row, chain)).collect()
    }

    pub(super) async fn read_checkpoints(&self, chain: &str) -> Result<Vec<CheckpointRow>, Failure> {
        let rows = self.reader.fetch_all(CHECKPOINTS, &[chain.into()]).await?;
        let bad = |reason: String| corrupt("checkpoint", chain, reason);
        let name: ChainName = chain.parse().map_err(|error| corrupt("audit_chain", chain, error))?;
        let checkpoint = |row: &Row| {
            let purpose: &str = row.get(0)?;
            let purpose = PURPOSES.into_iter().find(|(_, word)| *word == purpose);
            Ok(Checkpoint {
                chain: name,
                purpose: purpose.ok_or_else(|| bad("unknown purpose".to_owned()))?.0,
                seq: row.count(1)?,
                hash: row.bytes(2)?,
                at: row.time(3)?,
                epoch: row.epoch(4)?,
                key_id: KeyId(row.bytes(5)?),
                signature: row.bytes(6)?,
            })
        };
        rows.iter().map(checkpoint).collect()
    }

    /// The chains together, newest row first: of all chains' next rows, always the latest.
    ///
    /// Looks at no more than [`MOST_LOOKED_AT`] rows, so a page of a narrow filter may be
    /// short, or empty, and still have a next one.
    pub(super) async fn audit_page(
        &self,
        visible: &Visible,
        filter: &AuditFilter,
        page: &Page,
    ) -> Result<AuditPage, Failure> {
        let limit = usize::try_from(limit(page)).unwrap_or(usize::MAX);
        let mut snapshot = self.reader.begin_reading().await?;
        let mut chains = Descent::start(&mut snapshot, page.after.as_deref()).await?;
        let mut rows = Vec::with_capacity(limit);
        let mut looked_at = 0;
        let mut more = false;
        loop {
            for chain in &mut chains {
                chain.fill(&mut snapshot).await?;
            }
            let latest = chains.iter_mut().filter(|chain| !chain.rows.is_empty());
            let Some(chain) = latest.max_by_key(|chain| chain.top()) else { break };
            if rows.len() == limit || looked_at == MOST_LOOKED_AT {
                more = true;
                break;
            }
            looked_at += 1;
            if let Some(row) = chain.pop()
                && passes(&row.event, visible, filter)
            {
                rows.push(row);
            }
        }
        snapshot.commit().await?;
        Ok(Paged { rows, next: more.then(|| Descent::cursor(&chains)) })
    }

    pub(super) async fn sign_heads(&self, now: UnixMs) -> Result<(), Failure> {
        let mut transaction = self.journal.begin().await?;
        let epoch = committed(&transaction.fetch_one(COMMITTED, &[]).await?)?.epoch;
        for name in [ChainName::Policy, self.own_name] {
            let row = transaction.fetch_optional(HEAD, &[(&name.to_string()).into()]).await?;
            let Some(row) = row else { continue };
            let head = Head { seq: row.count(1)?, hash: row.bytes(2)? };
            if head.seq > 0 {
                let chain = (row.get(0)?, name);
                self.sign(&mut transaction, chain, head, Purpose::Checkpoint, now, epoch).await?;
            }
        }
        Ok(transaction.commit().await?)
    }

    /// A checkpoint that commits with the change it follows.
    pub(super) async fn sign_policy_chain(&self, change: &mut PolicyChange) -> Result<(), Failure> {
        let Some((id, head)) = change.head_now() else { return Ok(()) };
        let chain = (id, ChainName::Policy);
        let (now, epoch) = (change.now, change.committed.epoch);
        self.sign(&mut change.transaction, chain, head, Purpose::Checkpoint, now, epoch).await?;
        Ok(())
    }

    /// Keeps a signed head, once; tells whether there is a key to sign with.
    pub(super) async fn sign(
        &self,
        transaction: &mut Transaction,
        (id, chain): (i64, ChainName),
        head: Head,
        purpose: Purpose,
        at: UnixMs,
        epoch: Epoch,
    ) -> Result<bool, Failure> {
        let Some(key) = &self.identity.key else { return Ok(false) };
        let signed = key.sign(chain, head, purpose, at, epoch);
        let word = PURPOSES.iter().find(|(known, _)| *known == purpose).map(|(_, word)| *word);
        let values = [
            id.into(),
            signed.seq.into(),
            word.into(),
            (&signed.hash).into(),
            signed.at.into(),
            signed.epoch.into(),
            (&signed.key_id.0).into(),
            (&signed.signature).into(),
        ];
        transaction.execute(SIGN, &values).await?;
        Ok(true)
    }
}

/// One chain, read from its end.
struct Descent {
    id: i64,
    name: String,
    /// The next row to read from the database.
    from: u64,
    /// Read and not taken, the latest at the end.
    rows: Vec<AuditRow>,
    chunk: u64,
}

impl Descent {
    /// All chains from their heads, or from where the last page ended.
    ///
    /// A cursor is `id:seq,id:seq…` of the chains that have rows left. Chains that
    /// were made since are not in it: their rows are newer than the first page.
    async fn start(snapshot: &mut Transaction, cursor: Option<&str>) -> Result<Vec<Self>, Failure> {
        let places = cursor.map(places).transpose()?;
        let mut chains = Vec::new();
        for row in snapshot.fetch_all(CHAINS, &[]).await? {
            let id: i64 = row.get(0)?;
            let from = match &places {
                None => row.count(2)?,
                Some(places) => match places.iter().find(|(chain, _)| *chain == id) {
                    Some((_, seq)) => *seq,
                    None => continue,
                },
            };
            chains.push(Self { id, name: row.get(1)?, from, rows: Vec::new(), chunk: FIRST_CHUNK });
        }
        Ok(chains)
    }

    fn cursor(chains: &[Self]) -> String {
        let next = |chain: &Self| chain.rows.last().map_or(chain.from, |row| row.seq);
        let left = chains.iter().filter(|chain| next(chain) > 0);
        left.map(|chain| format!("{}:{}", chain.id, next(chain))).collect::<Vec<_>>().join(",")
    }

    async fn fill(&mut self, snapshot: &mut Transaction) -> Result<(), Failure> {
        if !self.rows.is_empty() || self.from == 0 {
            return Ok(());
        }
        let values = [self.id.into(), self.from.into(), self.chunk.into()];
        let mut rows = Vec::new();
        for row in snapshot.fetch_all(BACKWARD, &values).await? {
            rows.push(audit_row(&row, &self.name)?);
        }
        // Rows are numbered without gaps, so fewer than asked for means that there are no more.
        let whole = u64::try_from(rows.len()).unwrap_or(0) == self.chunk;
        self.from = rows.last().filter(|_| whole).map_or(0, |row| row.seq.saturating_sub(1));
        rows.reverse();
        self.rows = rows;
        self.chunk = (self.chunk * 4).min(MOST_CHUNK);
        Ok(())
    }

    fn top(&self) -> Option<(UnixMs, i64)> {
        self.rows.last().map(|row| (row.event.at, self.id))
    }

    fn pop(&mut self) -> Option<AuditRow> {
        self.rows.pop()
    }
}

fn places(cursor: &str) -> Result<Vec<(i64, u64)>, Failure> {
    let place = |part: &str| {
        let (id, seq) = part.split_once(':')?;
        Some((id.parse().ok()?, seq.parse().ok()?))
    };
    cursor.split(',').map(|part| place(part).ok_or_else(bad_cursor)).collect()
}

fn passes(event: &AuditEvent, visible: &Visible, filter: &AuditFilter) -> bool {
    let AuditFilter { workload, session, kind, code, actor, from, until } = filter;
    let is = |wanted: &Option<String>, actual: Option<&str>| {
        wanted.as_ref().is_none_or(|wanted| actual == Some(wanted))
    };
    let seen = match visible {
        Visible::Everything => true,
        Visible::Workloads(names) => sees(names, event.workload.as_ref()),
    };
    seen && is(workload, event.workload.as_deref())
        && session.is_none_or(|session| event.session == Some(session))
        && is(kind, Some(&event.kind))
        && is(code, Some(&event.code))
        && is(actor, event.actor.as_deref())
        && from.is_none_or(|from| event.at >= from)
        && until.is_none_or(|until| event.at < until)
}

fn sees(names: &BTreeSet<String>, workload: Option<&String>) -> bool {
    workload.is_some_and(|workload| names.contains(workload))
}

/// Columns: see `columns`.
fn audit_row(row: &Row, chain: &str) -> Result<AuditRow, Failure> {
    let event = AuditEvent {
        at: row.time(1)?,
        kind: row.get::<String>(2)?.into(),
        code: row.get::<String>(3)?.into(),
        epoch: row.epoch(4)?,
        workload: row.get(5)?,
        measurement: row.get(6)?,
        session: row.optional_bytes(7)?.map(SessionId::from_bytes),
        request_id: row.get(8)?,
        actor: row.get(9)?,
        before: row.get(10)?,
        after: row.get(11)?,
        evidence: row.optional_bytes(12)?,
        detail: row.get(13)?,
    };
    Ok(AuditRow { chain: chain.to_owned(), seq: row.count(0)?, event, hash: row.bytes(14)? })
}

/// The words in the table.
const PURPOSES: [(Purpose, &str); 2] = [(Purpose::Checkpoint, "checkpoint"), (Purpose::Anchor, "anchor")];

const SIGN: &str = "
INSERT INTO checkpoint (chain, seq, purpose, hash, at_ms, epoch, key_id, signature)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (chain, seq, purpose) DO NOTHING";

/// The most rows of a chain in one answer.
const MOST_ROWS: u32 = 10_000;

/// The most rows that one page looks at: some tens of milliseconds.
const MOST_LOOKED_AT: usize = 20_000;

/// Rows read at once: few of the many chains that a page takes nothing from.
const FIRST_CHUNK: u64 = 32;
const MOST_CHUNK: u64 = 1024;

macro_rules! columns {
    () => {
        "SELECT a.seq, a.at_ms, a.kind, a.code, a.epoch, a.workload, a.measurement, a.session, a.request_id, a.actor,
                a.before, a.after, a.evidence, a.detail, a.hash FROM audit a"
    };
}

const CHAINS: &str = "SELECT id, name, seq, hash FROM audit_chain ORDER BY name";
const HEAD: &str = "SELECT id, seq, hash FROM audit_chain WHERE name = $1";
const FORWARD: &str = concat!(
    columns!(),
    " WHERE a.chain = (SELECT id FROM audit_chain WHERE name = $1) AND a.seq > $2 ORDER BY a.seq LIMIT $3"
);
const BACKWARD: &str =
    concat!(columns!(), " WHERE a.chain = $1 AND a.seq <= $2 ORDER BY a.seq DESC LIMIT $3");
const CHECKPOINTS: &str = "
SELECT p.purpose, p.seq, p.hash, p.at_ms, p.epoch, p.key_id, p.signature
FROM checkpoint p JOIN audit_chain c ON c.id = p.chain WHERE c.name = $1 ORDER BY p.seq, p.purpose";
