use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Mutex;

use super::{SqlStore, append::OwnChain, postgres, sqlite};
use crate::{
    audit::{AuditKey, ChainName},
    config::{Hints, StorePlace},
    store::{Store, StoreError},
};

/// Where the store is.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// In one file of a state directory, for one proxy.
    Sqlite {
        /// The state directory.
        directory: PathBuf,
    },
    /// On a PostgreSQL server, for any number of proxies.
    Postgres {
        /// `postgres://user@host:port/database?sslmode=verify-full`. A password is better given
        /// by `PGPASSWORD` or `PGPASSFILE` than here.
        url: String,
        /// Whether it is asked to tell of changes.
        hints: Hints,
    },
}

impl StoreConfig {
    /// As a configuration says it.
    pub fn new(place: &StorePlace, state_directory: &Path) -> Self {
        match place {
            StorePlace::File => Self::Sqlite { directory: state_directory.to_owned() },
            StorePlace::Postgres { url, hints } => Self::Postgres { url: url.clone(), hints: *hints },
        }
    }
}

/// A URL may hold a password.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { directory } => f.debug_struct("Sqlite").field("directory", directory).finish(),
            Self::Postgres { url: _, hints: _ } => f.write_str("Postgres { url: hidden }"),
        }
    }
}

/// Which process this is, in the audit.
#[derive(Clone, Debug)]
pub struct AuditWriter {
    /// 16 random bytes, kept in the state directory. Only one process at a time may
    /// write the audit under an id; a second one is found and refused.
    pub id: [u8; 16],
    /// Signs checkpoints. Without it nothing is signed, and no audit row is ever dropped:
    /// what is left of a chain must begin at a signed head.
    pub key: Option<Arc<AuditKey>>,
}

impl AuditWriter {
    /// A process that signs.
    pub fn new(id: [u8; 16], key: Arc<AuditKey>) -> Self {
        Self { id, key: Some(key) }
    }

    /// A process that signs nothing.
    pub fn unsigned(id: [u8; 16]) -> Self {
        Self { id, key: None }
    }

    /// A process that nobody knows again: its rows are a chain of their own.
    pub fn unnamed() -> Self {
        let mut id = [0; 16];
        // Without random bytes the first row finds the chain taken, and is not written.
        let _ = aws_lc_rs::rand::fill(&mut id);
        Self::unsigned(id)
    }
}

/// What to do when there is no store yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Make an empty one.
    Make,
    /// Fail: whoever revokes in a store that nobody serves has named the wrong directory.
    Fail,
}

/// Opens the store and brings its tables up to date.
///
/// # Errors
/// [`StoreError::Open`], [`StoreError::Absent`] with [`Missing::Fail`], or [`StoreError::Address`].
pub async fn open(
    config: &StoreConfig,
    identity: AuditWriter,
    missing: Missing,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(SqlStore::open(config, identity, missing).await?))
}

impl SqlStore {
    /// The same, with its type.
    ///
    /// # Errors
    /// As [`open`].
    pub async fn open(
        config: &StoreConfig,
        identity: AuditWriter,
        missing: Missing,
    ) -> Result<Self, StoreError> {
        let pools = match config {
            StoreConfig::Sqlite { directory } => sqlite::open(directory, missing).await?,
            StoreConfig::Postgres { url, hints } => postgres::open(url, *hints, missing).await?,
        };
        let Pools { policy, journal, reader, poll, hints } = pools;
        let own_name = ChainName::Replica(identity.id);
        let own_chain = Arc::new(Mutex::new(OwnChain::Unread));
        Ok(Self { policy, journal, reader, poll, identity, own_name, own_chain, hints })
    }
}

/// What a database gives.
pub(super) struct Pools {
    pub(super) policy: super::Pool,
    pub(super) journal: super::Pool,
    pub(super) reader: super::Pool,
    pub(super) poll: super::Pool,
    pub(super) hints: Option<tokio::sync::watch::Receiver<u64>>,
}
