use std::path::PathBuf;

use crate::store::{AuditWriter, Missing, SqlStore, StoreConfig};

/// An empty database of its own, gone when the test ends.
pub(super) struct Database {
    pub(super) config: StoreConfig,
    pub(super) directory: PathBuf,
}

impl Database {
    pub(super) fn sqlite(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("countersign-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        Self { config: StoreConfig::Sqlite { directory: directory.clone() }, directory }
    }

    /// The store, as a process that nobody has seen before opens it.
    pub(super) async fn open(&self) -> SqlStore {
        self.open_as(AuditWriter::unnamed()).await
    }

    pub(super) async fn open_as(&self, writer: AuditWriter) -> SqlStore {
        SqlStore::open(&self.config, writer, Missing::Make).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
