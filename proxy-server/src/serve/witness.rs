use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::ServeError;
use crate::{
    audit::{ChainName, Head, Known, KnownHeads, Standing},
    log::Chain,
    store::{Store, StoreError, UnixMs},
};

/// What this replica has seen of the store, kept beside it: a store that says
/// less than it said before was put back, cut, or is another one.
pub(super) struct Outside {
    store: Arc<dyn Store>,
    known: KnownHeads,
    own: ChainName,
}

impl Outside {
    /// Compares the store with what was seen of it.
    ///
    /// # Errors
    /// [`ServeError::RolledBack`]: then nothing is admitted by it.
    pub(super) async fn compare(
        store: Arc<dyn Store>,
        directory: &Path,
        replica: [u8; 16],
    ) -> Result<Self, ServeError> {
        let known = KnownHeads::open(directory).map_err(ServeError::KnownHeads)?;
        let standing = standing(store.as_ref(), known.known()).await?;
        let epoch = store.committed().await?.epoch;
        known.known().check(&standing, epoch).map_err(ServeError::RolledBack)?;
        Ok(Self { store, known, own: ChainName::Replica(replica) })
    }

    /// Signs where the chains stand and notes it, every ten seconds and once more at the end.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let on = shutdown.run_until_cancelled(ticks.tick()).await.is_some();
            if let Err(error) = self.note().await {
                tracing::warn!(code = "checkpoint-failed", error = %error, "where the audit stands was not signed");
            }
            if !on {
                return;
            }
        }
    }

    async fn note(&mut self) -> Result<(), String> {
        let said = |error: &StoreError| Chain(error).to_string();
        // The checkpoint is on the disk when it is answered, and with it all that was written
        // before: a head noted here is never one that a power failure takes back.
        let epoch = self.store.committed().await.map_err(|error| said(&error))?.epoch;
        let heads = self.store.chains().await.map_err(|error| said(&error))?;
        self.store.checkpoint(UnixMs::now()).await.map_err(|error| said(&error))?;
        for row in heads {
            let Ok(chain) = row.name.parse::<ChainName>() else { continue };
            if chain == self.own || chain == ChainName::Policy {
                let head = Head { seq: row.seq, hash: row.hash };
                self.known.note(chain, head).map_err(|error| error.to_string())?;
            }
        }
        self.known.note_epoch(epoch);
        self.known.flush().map_err(|error| Chain(&error).to_string())
    }
}

/// What the store says of each known head.
pub(super) async fn standing(
    store: &dyn Store,
    known: &Known,
) -> Result<BTreeMap<ChainName, Standing>, StoreError> {
    let mut standing = BTreeMap::new();
    for (chain, head) in known.heads() {
        standing.insert(chain, ask(store, chain, head).await?);
    }
    Ok(standing)
}

/// What the store says of the row that a known head speaks of.
async fn ask(store: &dyn Store, chain: ChainName, head: Head) -> Result<Standing, StoreError> {
    let name = chain.to_string();
    let Some(before) = head.seq.checked_sub(1) else { return Ok(Standing::Hash(head.hash)) };
    let rows = store.chain_rows(&name, before, 1).await?;
    match rows.first() {
        Some(row) if row.seq == head.seq => Ok(Standing::Hash(row.hash)),
        // The rows begin behind it.
        Some(_) => Ok(Standing::Pruned),
        None => {
            let stored = store.chains().await?.into_iter().find(|row| row.name == name);
            Ok(match stored {
                // Every row of it was dropped, and it stands where it stood or further on.
                Some(row) if row.seq == head.seq => Standing::Hash(row.hash),
                Some(row) if row.seq > head.seq => Standing::Pruned,
                other => Standing::Absent { last: other.map_or(0, |row| row.seq) },
            })
        }
    }
}

/// How much of the audit is unsigned at most, by time.
const EVERY: Duration = Duration::from_secs(10);
