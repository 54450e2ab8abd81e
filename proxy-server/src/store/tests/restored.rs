//! A copy that was put back.

use countersign_protocol::Epoch;

use super::{
    database::Database,
    make::{event, session},
    sessions::seeded,
};
use crate::store::{Actor, AuditStore, BackupError, Batch, PolicyStore, SessionStore, UnixMs};

pub(super) async fn a_copy_that_is_accepted_has_an_epoch_above_all(database: Database) {
    let store = seeded(&database).await;
    let actor = Actor { subject: "local:root".to_owned(), request_id: "r1".to_owned() };
    for (known, now, next) in [(41, 5, 42), (7, 6, 43), (43, 7, 44)] {
        store
            .append(Batch { events: vec![event("admitted")], sessions: vec![session(1, 1, 5_000)] })
            .await
            .unwrap();
        let committed = store.accept_restored(Epoch(known), "lost: all", &actor, UnixMs(now)).await.unwrap();
        assert_eq!((committed.epoch, committed.at), (Epoch(next), UnixMs(now)));
        assert_eq!(store.committed().await.unwrap(), committed);
        assert_eq!(store.sessions(UnixMs(0)).await.unwrap(), [], "one of them may have been ended since");
    }
    let rows = store.chain_rows("policy", 1, 10).await.unwrap();
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            let event = &row.event;
            (event.code.as_ref(), event.epoch.0, event.actor.as_deref(), event.detail.as_deref())
        })
        .collect();
    let restored = |epoch| ("store-restored", epoch, Some("local:root"), Some("lost: all"));
    assert_eq!(told, [restored(42), restored(43), restored(44)]);
    assert_eq!(rows[0].event.before.as_deref(), Some(r#"{"epoch":1,"known_epoch":41}"#));
    assert_eq!(rows[0].event.after.as_deref(), Some(r#"{"epoch":42,"sessions_dropped":1}"#));
}

pub(super) async fn only_files_are_copied(database: Database) {
    let store = seeded(&database).await;
    let copied = store.backup(&database.directory.join("copy")).await;
    match database.config {
        crate::store::StoreConfig::Sqlite { .. } => assert!(copied.is_ok(), "{copied:?}"),
        crate::store::StoreConfig::Postgres { .. } => assert!(matches!(copied, Err(BackupError::NotAFile))),
    }
}
