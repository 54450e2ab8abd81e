//! Dropping what is no longer kept, a bounded number of rows at a time.

use countersign_protocol::Epoch;

use super::{SqlStore, connection::Failure, replicas::KEPT_MS};
use crate::{
    audit::{ChainName, Head, Purpose},
    config::AuditRetention,
    store::{UnixMs, texts::corrupt},
};

impl SqlStore {
    pub(super) async fn prune_some(&self, retention: AuditRetention, now: UnixMs) -> Result<u64, Failure> {
        let ago = |ms: i64| UnixMs(now.0.saturating_sub(ms));
        let mut dropped = self.prune_audit(retention, now).await?;
        dropped += self.journal.execute(SESSIONS, &[now.into()]).await?;
        dropped += self.journal.execute(ENDED, &[ago(ENDED_KEPT_MS).into()]).await?;
        dropped += self.journal.execute(IDEMPOTENCY, &[ago(IDEMPOTENCY_KEPT_MS).into()]).await?;
        dropped += self.journal.execute(REPLICAS, &[ago(KEPT_MS).into()]).await?;
        Ok(dropped)
    }

    /// Rows that are too old, of every chain; and while there are too many in all,
    /// the oldest of the longest chain.
    async fn prune_audit(&self, retention: AuditRetention, now: UnixMs) -> Result<u64, Failure> {
        let age = i64::try_from(retention.age.as_millis()).unwrap_or(i64::MAX);
        let cutoff = UnixMs(now.0.saturating_sub(age));
        let mut extents = Vec::new();
        for row in self.reader.fetch_all(EXTENTS, &[]).await? {
            let first = row.get::<Option<i64>>(3)?;
            if let Some(first) = first.and_then(|first| u64::try_from(first).ok()) {
                let (id, last) = (row.get(0)?, row.count(2)?);
                let text: &str = row.get(1)?;
                let name = text.parse().map_err(|error| corrupt("audit_chain", text, error))?;
                extents.push(Extent { id, name, first, last });
            }
        }
        let mut dropped = 0;
        for extent in &mut extents {
            let values =
                [extent.id.into(), extent.first.into(), (extent.first + AT_ONCE).into(), cutoff.into()];
            let row = self.reader.fetch_optional(OLD, &values).await?;
            if let Some(last) = row.map(|row| row.get::<Option<i64>>(0)).transpose()?.flatten() {
                dropped += self.drop_rows(extent, last.cast_unsigned(), now).await?;
            }
        }
        let all: u64 = extents.iter().map(Extent::rows).sum();
        let excess = all.saturating_sub(retention.rows).min(AT_ONCE);
        if let Some(longest) = extents.iter_mut().max_by_key(|extent| extent.rows())
            && excess > 0
        {
            let last = longest.first + excess.min(longest.rows()) - 1;
            dropped += self.drop_rows(longest, last, now).await?;
        }
        Ok(dropped)
    }

    /// Drops a chain's rows up to one. What is left begins at a signed head: so
    /// nothing is dropped where nobody can sign.
    async fn drop_rows(&self, extent: &mut Extent, last: u64, now: UnixMs) -> Result<u64, Failure> {
        let mut transaction = self.journal.begin().await?;
        let Some(row) = transaction.fetch_optional(HASH, &[extent.id.into(), last.into()]).await? else {
            // Another replica was faster.
            return Ok(0);
        };
        let head = Head { seq: last, hash: row.bytes(0)? };
        let epoch: Epoch = row.epoch(1)?;
        if !self.sign(&mut transaction, (extent.id, extent.name), head, Purpose::Anchor, now, epoch).await? {
            return Ok(0);
        }
        let values = [extent.id.into(), last.into()];
        let dropped = transaction.execute(DROP, &values).await?;
        transaction.execute(DROP_CHECKPOINTS, &values).await?;
        transaction.commit().await?;
        extent.first = last + 1;
        Ok(dropped)
    }
}

/// Which rows of a chain there are.
struct Extent {
    id: i64,
    name: ChainName,
    first: u64,
    last: u64,
}

impl Extent {
    fn rows(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }
}

/// The most rows dropped of one chain in one go.
const AT_ONCE: u64 = 10_000;

/// Longer than any lease and any certificate: 15 minutes.
const ENDED_KEPT_MS: i64 = 900_000;

/// As long as anyone sends a request again: a day.
const IDEMPOTENCY_KEPT_MS: i64 = 86_400_000;

const EXTENTS: &str = "
SELECT c.id, c.name, c.seq, (SELECT min(a.seq) FROM audit a WHERE a.chain = c.id) FROM audit_chain c ORDER BY c.id";
const OLD: &str = "
SELECT max(seq) FROM audit WHERE chain = $1 AND seq >= $2 AND seq < $3 AND at_ms < $4";
const HASH: &str = "SELECT hash, epoch FROM audit WHERE chain = $1 AND seq = $2";
const DROP: &str = "DELETE FROM audit WHERE chain = $1 AND seq <= $2";
const DROP_CHECKPOINTS: &str =
    "DELETE FROM checkpoint WHERE chain = $1 AND (seq < $2 OR (seq = $2 AND purpose <> 'anchor'))";

const SESSIONS: &str = "
DELETE FROM session WHERE id IN (
    SELECT id FROM session WHERE lease_ends_ms <= $1 ORDER BY lease_ends_ms LIMIT 10000)";
const ENDED: &str = "
DELETE FROM ended_session WHERE id IN (SELECT id FROM ended_session WHERE ended_ms < $1 LIMIT 10000)";
const IDEMPOTENCY: &str = "DELETE FROM idempotency WHERE created_ms < $1";
const REPLICAS: &str = "DELETE FROM replica WHERE seen_ms < $1";
