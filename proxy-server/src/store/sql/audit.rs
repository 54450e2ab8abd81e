//! Reading the audit's chains, and signing where they stand.

use countersign_protocol::{Epoch, SessionId};

use super::{
    SqlStore,
    change::lock::{COMMITTED, PolicyChange, committed},
    connection::{Failure, Row, Transaction},
};
use crate::audit::{ChainName, Checkpoint, Head, KeyId, Purpose};
use crate::store::{AuditEvent, AuditRow, AuditState, ChainRow, CheckpointRow, UnixMs, texts::corrupt};

impl SqlStore {
    pub(super) async fn read_chains(&self) -> Result<Vec<ChainRow>, Failure> {
        let rows = self.reader.fetch_all(CHAINS, &[]).await?;
        rows.iter().map(chain).collect()
    }

    pub(super) async fn read_audit_state(&self) -> Result<AuditState, Failure> {
        let mut snapshot = self.reader.begin_reading().await?;
        let epoch = committed(&snapshot.fetch_one(COMMITTED, &[]).await?)?.epoch;
        let signed = snapshot.fetch_one(SIGNED, &[]).await?.epoch(0)?;
        let chains = snapshot.fetch_all(CHAINS, &[]).await?;
        snapshot.commit().await?;
        Ok(AuditState { epoch, signed, chains: chains.iter().map(chain).collect::<Result<_, _>>()? })
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

    pub(super) async fn sign_heads(&self, now: UnixMs) -> Result<(), Failure> {
        // On the connections that wait for the disk: what is signed, everything before it included, is there.
        let mut transaction = self.policy.begin().await?;
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

fn chain(row: &Row) -> Result<ChainRow, Failure> {
    Ok(ChainRow { name: row.get(1)?, seq: row.count(2)?, hash: row.bytes(3)? })
}

/// Columns: see `audit_columns`.
pub(super) fn audit_row(row: &Row, chain: &str) -> Result<AuditRow, Failure> {
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

macro_rules! audit_columns {
    () => {
        "SELECT a.seq, a.at_ms, a.kind, a.code, a.epoch, a.workload, a.measurement, a.session, a.request_id, a.actor,
                a.before, a.after, a.evidence, a.detail, a.hash FROM audit a"
    };
}
pub(super) use audit_columns;

pub(super) const CHAINS: &str = "SELECT id, name, seq, hash FROM audit_chain ORDER BY name";
const SIGNED: &str = "SELECT COALESCE(MAX(epoch), 0) FROM checkpoint";
const HEAD: &str = "SELECT id, seq, hash FROM audit_chain WHERE name = $1";
const FORWARD: &str = concat!(
    audit_columns!(),
    " WHERE a.chain = (SELECT id FROM audit_chain WHERE name = $1) AND a.seq > $2 ORDER BY a.seq LIMIT $3"
);
const CHECKPOINTS: &str = "
SELECT p.purpose, p.seq, p.hash, p.at_ms, p.epoch, p.key_id, p.signature
FROM checkpoint p JOIN audit_chain c ON c.id = p.chain WHERE c.name = $1 ORDER BY p.seq, p.purpose";
