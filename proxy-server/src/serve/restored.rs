use std::{
    fmt,
    path::{Path, PathBuf},
};

use countersign_protocol::Epoch;

use super::{ServeError, lock::lock, witness::standing};
use crate::{
    audit::{ChainName, KnownHeads, RolledBack, Standing},
    store::{Actor, Committed, SqlStore, Store, UnixMs},
};

/// A store beside what was seen of it: whether an older copy was put back, what that
/// loses, and the one way to go on with it.
#[derive(Debug)]
pub struct Restored {
    /// As it stands.
    pub stored: Committed,
    /// The highest epoch that was in force, as far as anybody knows.
    pub known: Epoch,
    /// Rows of the audit that were seen and are gone.
    pub lost: Vec<Lost>,
    /// What `serve` would refuse to start for.
    pub contradiction: Option<RolledBack>,
}

/// Rows of one chain that were seen and are gone, or are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The chain.
    pub chain: ChainName,
    /// The last row that was seen.
    pub seen: u64,
    /// The last row there is, where the chain is shorter; `None` where the row is another one.
    pub last: Option<u64>,
}

/// What accepting came to.
#[derive(Debug)]
pub struct Accepted {
    /// The policy afterwards.
    pub committed: Committed,
    /// Where what was known lies now.
    pub aside: PathBuf,
}

impl Restored {
    /// Looks, and changes nothing. `above`: an epoch that was in force as well, and that
    /// nothing on this machine knows of.
    ///
    /// # Errors
    /// The store or what was seen of it cannot be read.
    pub async fn look(store: &dyn Store, directory: &Path, above: Option<Epoch>) -> Result<Self, ServeError> {
        Self::compare(store, &known_heads(directory)?, above).await
    }

    /// Looks again with nobody serving, and goes on with the store as it is.
    ///
    /// # Errors
    /// [`ServeError::Locked`] while a proxy serves from this directory: it would write down
    /// again what is set aside. Else as [`Self::look`], or the store cannot be written to.
    pub async fn accept(
        store: &SqlStore,
        directory: &Path,
        above: Option<Epoch>,
        actor: &Actor,
    ) -> Result<Accepted, ServeError> {
        let _lock = lock(directory)?;
        let heads = known_heads(directory)?;
        let found = Self::compare(store, &heads, above).await?;
        let lost = found.to_string();
        let committed = store.accept_restored(found.known, &lost, actor, UnixMs::now()).await?;
        let aside = heads.set_aside(committed.epoch).map_err(ServeError::KnownHeads)?;
        Ok(Accepted { committed, aside })
    }

    async fn compare(
        store: &dyn Store,
        heads: &KnownHeads,
        above: Option<Epoch>,
    ) -> Result<Self, ServeError> {
        let known = heads.known();
        let standing = standing(store, known).await?;
        let stored = store.committed().await?;
        let lost = known.heads().filter_map(|(chain, head)| {
            let last = match standing.get(&chain)? {
                Standing::Hash(hash) if *hash != head.hash => None,
                Standing::Absent { last } if *last < head.seq => Some(*last),
                Standing::Hash(_) | Standing::Absent { .. } | Standing::Pruned => return None,
            };
            Some(Lost { chain, seen: head.seq, last })
        });
        let mut lost: Vec<_> = lost.collect();
        lost.sort_unstable_by_key(|lost| lost.chain);
        let contradiction = known.check(&standing, stored.epoch).err();
        Ok(Self { stored, known: known.epoch().max(above.unwrap_or_default()), lost, contradiction })
    }

    /// Whether there is anything to accept.
    pub fn is_older(&self) -> bool {
        self.contradiction.is_some() || self.known > self.stored.epoch
    }

    /// The epoch that accepting leads to, if nobody changes the policy meanwhile.
    pub fn next(&self) -> Epoch {
        Epoch(self.known.max(self.stored.epoch).0.saturating_add(1))
    }
}

/// As the audit keeps it: what was seen, and what of it is lost.
impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {} is stored, and {} was in force", self.stored.epoch, self.known)?;
        for lost in &self.lost {
            write!(f, "; lost: {lost}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain, seen, last } = self;
        match last {
            Some(last) => write!(f, "rows {} to {seen} of the audit chain {chain}", last.saturating_add(1)),
            None => write!(f, "rows of the audit chain {chain} up to {seen}, which is another row now"),
        }
    }
}

fn known_heads(directory: &Path) -> Result<KnownHeads, ServeError> {
    KnownHeads::open(directory).map_err(ServeError::KnownHeads)
}
