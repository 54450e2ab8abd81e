//! A copy that was put back.

use std::{sync::Arc, time::Duration};

use countersign_protocol::Epoch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    database::Database,
    make::{event, session},
    sessions::seeded,
};
use crate::{
    policy::{Policy, PolicyHandle, Watcher},
    session::{Sessions, SessionsLimits},
    store::{Actor, AuditStore, BackupError, Batch, PolicyStore, SessionStore, UnixMs},
};

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

/// A replica that runs never follows an older epoch (`policy::tests`); the accepted one it does.
pub(super) async fn whoever_had_a_newer_epoch_follows_the_accepted_one(database: Database) {
    let store = Arc::new(seeded(&database).await);
    let actor = Actor { subject: "local:root".to_owned(), request_id: "r1".to_owned() };
    store.accept_restored(Epoch(6), "", &actor, UnixMs(5)).await.unwrap();
    let stored = store.load().await.unwrap();
    let handle = PolicyHandle::new(Policy::from_store(&stored, UnixMs::now()).unwrap());
    let sessions = Sessions::new(SessionsLimits { max_sessions: 1, max_per_instance: 1 });
    let mut enforced = handle.enforcement();
    let watcher = Watcher::new(Arc::clone(&store) as _, stored, handle.clone(), sessions);
    store.sql_for_tests("UPDATE policy SET epoch = 3").await;
    let stop = CancellationToken::new();
    let watching = tokio::spawn(watcher.run(stop.clone()));
    let committed = store.accept_restored(Epoch(7), "", &actor, UnixMs(6)).await.unwrap();
    assert_eq!(committed.epoch, Epoch(8));
    let followed = enforced.wait_for(|epoch| *epoch != Epoch(7));
    assert_eq!(*timeout(Duration::from_secs(10), followed).await.unwrap().unwrap(), Epoch(8));
    assert_eq!(handle.epoch(), Epoch(8));
    stop.cancel();
    watching.await.unwrap();
}

pub(super) async fn only_files_are_copied(database: Database) {
    let store = seeded(&database).await;
    let copied = store.backup(&database.directory.join("copy")).await;
    match database.config {
        crate::store::StoreConfig::Sqlite { .. } => assert!(copied.is_ok(), "{copied:?}"),
        crate::store::StoreConfig::Postgres { .. } => assert!(matches!(copied, Err(BackupError::NotAFile))),
    }
}
