//! Sessions, their audit rows, and the journal before them.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use super::{
    database::Database,
    make::{event, session, spec},
};
use crate::{
    config::{AuditRetention, MeasurementState},
    store::*,
};

const SEEDED: &str = "policy policy-seeded 1";

/// A store whose workload `a` has an active measurement `v1`, in epoch 1.
pub(super) async fn seeded(database: &Database) -> SqlStore {
    let store = database.open().await;
    seed(&store).await;
    store
}

async fn seed(store: &SqlStore) {
    store.seed(&[spec("a", &[("v1", 1, MeasurementState::Active)])], UnixMs(1)).await.unwrap();
}

pub(super) async fn sessions_are_kept_renewed_and_lapse(database: Database) {
    let store = seeded(&database).await;
    let renewed = SessionRow { sequence: u64::MAX, ..session(1, 2, 9_000) };
    let batch =
        Batch { events: vec![event("admitted")], sessions: vec![session(1, 1, 5_000), session(2, 1, 4_000)] };
    store.append(batch).await.unwrap();
    store
        .append(Batch { events: vec![], sessions: vec![session(1, 2, 8_000), renewed.clone()] })
        .await
        .unwrap();
    assert_eq!(store.sessions(UnixMs(0)).await.unwrap(), [renewed.clone(), session(2, 1, 4_000)]);
    assert_eq!(store.sessions(UnixMs(4_000)).await.unwrap(), [renewed]);
    let kept = AuditRetention { rows: 1_000, age: Duration::from_secs(3600) };
    assert_eq!(store.prune(kept, UnixMs(4_000)).await.unwrap(), 1);
    assert_eq!(store.sessions(UnixMs(0)).await.unwrap().len(), 1);
}

/// A caller that gives up in the middle of a batch leaves nothing open that stands in the way of the next one.
pub(super) async fn whoever_loses_patience_holds_up_nobody(database: Database) {
    let store = seeded(&database).await;
    let batch = || Batch { events: vec![event("admitted")], sessions: vec![session(1, 1, 5_000)] };
    store.append(batch()).await.unwrap();
    let mut patience = 0;
    while !give_up(store.append(batch()), patience).await {
        patience += 1;
    }
    store.append(batch()).await.unwrap();
    store.append(batch()).await.unwrap();
}

/// Drops it after so many looks, and tells whether it was done by then. How far it has come is the
/// machine's; over all numbers until it is done, it is given up everywhere.
pub(super) async fn give_up<T>(mut answer: Answer<'_, T>, patience: usize) -> bool {
    for _ in 0..patience {
        if poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_ready())).await {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

pub(super) async fn a_tidied_log_is_written_again_from_its_start(database: Database) {
    let store = seeded(&database).await;
    let log = || std::fs::metadata(database.directory.join("countersign.db-wal")).unwrap().len();
    let write = async || {
        for _ in 0..400 {
            store.append(Batch { events: vec![event("admitted")], sessions: vec![] }).await.unwrap();
        }
        log()
    };
    let first = write().await;
    let untidied = write().await;
    assert!(untidied > first, "nothing moves the log inside a commit");
    store.tidy().await.unwrap();
    assert_eq!(write().await, untidied, "there was room in the log");
}

pub(super) async fn the_audit_is_bounded_by_count_and_by_age(database: Database) {
    let (writer, _) = database.signer(1);
    let store = database.open_as(writer).await;
    seed(&store).await;
    let at = |ms| AuditEvent { at: UnixMs(ms), ..event("admitted") };
    store.append(Batch { events: (1..=20).map(at).collect(), sessions: vec![] }).await.unwrap();
    let young = Duration::from_secs(3600);
    assert_eq!(store.prune(AuditRetention { rows: 16, age: young }, UnixMs(20)).await.unwrap(), 5);
    assert_eq!(
        store.prune(AuditRetention { rows: 16, age: Duration::from_millis(2) }, UnixMs(20)).await.unwrap(),
        13
    );
    assert_eq!(store.audit_for_tests().await.len(), 3);
}

pub(super) async fn a_batch_that_fails_leaves_nothing_and_the_next_one_goes_through(database: Database) {
    let store = seeded(&database).await;
    // A database without the table that the batch's second half needs.
    store.sql_for_tests("ALTER TABLE session RENAME TO hidden").await;
    let batch = Batch { events: vec![event("admitted")], sessions: vec![session(1, 1, 5_000)] };
    store.append(batch.clone()).await.unwrap_err();
    store.sql_for_tests("ALTER TABLE hidden RENAME TO session").await;
    assert_eq!(store.audit_for_tests().await, [SEEDED], "the audit row went with the session that failed");
    store.append(batch).await.unwrap();
    assert_eq!(store.audit_for_tests().await, [SEEDED, "admission admitted 1"]);
}

pub(super) async fn whoever_records_waits_for_the_commit(database: Database) {
    let store = seeded(&database).await;
    let (journal, writer) = Journal::start(Arc::new(store.clone()));
    let records = (1u8..=200).map(|index| {
        let journal = journal.clone();
        tokio::spawn(async move { journal.record(event("admitted"), session(index, 1, 5_000)).await })
    });
    for record in records.collect::<Vec<_>>() {
        assert_eq!(record.await.unwrap(), Ok(()));
    }
    assert_eq!(store.sessions(UnixMs(0)).await.unwrap().len(), 200);
    journal.note(AuditEvent { kind: "refusal".into(), ..event("pcr-mismatch") });
    drop(journal);
    writer.await.unwrap();
    let audit = store.audit_for_tests().await;
    assert_eq!((audit.len(), audit.last().unwrap().as_str()), (202, "refusal pcr-mismatch 1"));
}

pub(super) async fn a_store_that_refuses_is_told_to_whoever_waits(database: Database) {
    let store = seeded(&database).await;
    store.sql_for_tests("DROP TABLE session").await;
    let (journal, _writer) = Journal::start(Arc::new(store));
    let recorded = journal.record(event("admitted"), session(1, 1, 5_000)).await;
    assert_eq!(recorded, Err(JournalError::NotWritten));
}

pub(super) async fn a_copy_of_the_file_is_the_store_at_one_moment(database: Database) {
    let store = seeded(&database).await;
    store
        .append(Batch { events: vec![event("admitted")], sessions: vec![session(1, 1, 5_000)] })
        .await
        .unwrap();
    let place = database.directory.join("restored");
    std::fs::create_dir(&place).unwrap();
    let copy = place.join("countersign.db");
    store.backup(&copy).await.unwrap();
    store.append(Batch { events: vec![event("late")], sessions: vec![] }).await.unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&copy).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(place.join("empty"), []).unwrap();
    std::os::unix::fs::symlink(place.join("elsewhere"), place.join("link")).unwrap();
    for taken in ["countersign.db", "empty", "link"] {
        let error = store.backup(&place.join(taken)).await.unwrap_err();
        assert!(
            error.to_string().ends_with("is there already: a backup overwrites nothing"),
            "{taken}: {error}"
        );
    }
    assert!(matches!(store.backup(&place.join("no/such")).await, Err(BackupError::File { .. })));
    let config = StoreConfig::Sqlite { directory: place };
    let restored = SqlStore::open(&config, AuditWriter::unnamed(), Missing::Fail).await.unwrap();
    assert_eq!(restored.audit_for_tests().await, [SEEDED, "admission admitted 1"]);
    assert_eq!(restored.sessions(UnixMs(0)).await.unwrap(), [session(1, 1, 5_000)]);
}
