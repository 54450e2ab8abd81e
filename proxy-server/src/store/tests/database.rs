use std::{path::PathBuf, sync::Arc};

use countersign_test_support::PostgresServer;

use crate::{
    audit::AuditKey,
    config::Hints,
    store::{AuditWriter, Missing, SqlStore, StoreConfig},
};

/// An empty database of its own, and a directory that is gone when the test ends.
pub(super) struct Database {
    pub(super) config: StoreConfig,
    pub(super) directory: PathBuf,
}

impl Database {
    pub(super) fn sqlite(name: &str) -> Self {
        let directory = directory("sqlite", name);
        Self { config: StoreConfig::Sqlite { directory: directory.clone() }, directory }
    }

    /// `None`: skipped, since there is no PostgreSQL here and that was said to be right.
    pub(super) fn postgres(name: &str) -> Option<Self> {
        let url = PostgresServer::shared()?.database();
        Some(Self {
            config: StoreConfig::Postgres { url, hints: Hints::Listen },
            directory: directory("postgres", name),
        })
    }

    /// The store, as a process that nobody has seen before opens it.
    pub(super) async fn open(&self) -> SqlStore {
        self.open_as(AuditWriter::unnamed()).await
    }

    pub(super) async fn open_as(&self, writer: AuditWriter) -> SqlStore {
        SqlStore::open(&self.config, writer, Missing::Make).await.unwrap()
    }

    /// A process with a key, and the key.
    pub(super) fn signer(&self, id: u8) -> (AuditWriter, Arc<AuditKey>) {
        let key = Arc::new(AuditKey::open(&self.directory).unwrap());
        (AuditWriter::new([id; 16], Arc::clone(&key)), key)
    }
}

fn directory(kind: &str, name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("countersign-{kind}-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
