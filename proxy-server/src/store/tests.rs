//! What every store must do, run over SQLite.

use std::{path::PathBuf, sync::Arc, time::Duration};

use countersign_protocol::{BootId, Epoch, KeyThumbprint, Lease, LeaseBounds, SessionId};
use countersign_verifier::{Pcr, PcrIndex, PcrSet};

use super::*;
use crate::{
    config::{MeasurementSpec, MeasurementState},
    policy::{Limits, Workload},
};

#[tokio::test]
async fn seeding_is_one_change_and_the_same_file_none() {
    let place = Place::new("seed");
    let store = place.open().await;
    assert_eq!(store.committed().await.unwrap().epoch, EMPTY);
    let specs = [spec("a", &[("v1", 1, Active), ("v2", 2, Pending)]), spec("b", &[("v1", 3, Active)])];
    let seeded = store.seed(&specs, UnixMs(1_000)).await.unwrap();
    assert_eq!(seeded.committed, Committed { epoch: Epoch(1), at: UnixMs(1_000) });
    assert_eq!(
        seeded.changes,
        [
            "workload a set",
            "workload b set",
            "measurement a/v1 active",
            "measurement a/v2 pending",
            "measurement b/v1 active"
        ]
    );
    let again = store.seed(&specs, UnixMs(2_000)).await.unwrap();
    assert_eq!((again.committed, again.changes.len()), (seeded.committed, 0));

    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.workloads.len(), 2);
    assert_eq!(loaded.workloads.iter().find(|w| w.name.as_str() == "a"), Some(&specs[0].workload));
    assert_eq!(
        states(&store).await,
        [("a/v1", Active, 1), ("a/v2", Pending, 1), ("b/v1", Active, 1)].map(owned)
    );
    assert_eq!(place.audit(&store).await, ["policy policy-seeded 1"]);
}

#[tokio::test]
async fn what_left_the_file_is_revoked_and_may_come_back() {
    let place = Place::new("leave");
    let store = place.open().await;
    let both = [spec("a", &[("v1", 1, Active), ("v2", 2, Active)]), spec("b", &[("v1", 3, Active)])];
    store.seed(&both, UnixMs(1)).await.unwrap();
    let seeded = store.seed(&[spec("a", &[("v2", 2, Active)])], UnixMs(2)).await.unwrap();
    assert_eq!(seeded.committed.epoch, Epoch(2));
    assert_eq!(
        states(&store).await,
        [("a/v1", Revoked, 2), ("a/v2", Active, 1), ("b/v1", Revoked, 2)].map(owned)
    );
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.workloads.len(), 1, "workload b stands no more");
    assert!(loaded.tombstones.is_empty(), "nobody revoked it: an edit can be taken back");
    let seeded = store.seed(&both, UnixMs(3)).await.unwrap();
    assert!(seeded.kept_revoked.is_empty());
    assert_eq!(
        states(&store).await,
        [("a/v1", Active, 3), ("a/v2", Active, 1), ("b/v1", Active, 3)].map(owned)
    );
}

#[tokio::test]
async fn a_revoked_set_of_pcrs_stays_revoked_under_every_name() {
    let place = Place::new("tombstone");
    let store = place.open().await;
    let specs = [spec("a", &[("v1", 1, Active), ("same", 1, Active), ("v2", 2, Active)])];
    store.seed(&specs, UnixMs(1)).await.unwrap();
    let revoked = store.revoke("a", "v1", Some("key leaked"), UnixMs(5)).await.unwrap();
    assert_eq!(revoked.committed, Committed { epoch: Epoch(2), at: UnixMs(5) });
    let expected = [("a/same", Revoked, 2), ("a/v1", Revoked, 2), ("a/v2", Active, 1)].map(owned);
    assert_eq!(states(&store).await, expected);

    let seeded = store.seed(&specs, UnixMs(6)).await.unwrap();
    assert_eq!(seeded.kept_revoked, ["a/v1", "a/same"]);
    assert_eq!(seeded.committed.epoch, Epoch(2), "and it is no change");
    let renamed = [spec("a", &[("v2", 2, Active)]), spec("other", &[("fresh", 1, Active)])];
    let seeded = store.seed(&renamed, UnixMs(7)).await.unwrap();
    assert_eq!(seeded.kept_revoked, ["other/fresh"]);
    assert!(states(&store).await.contains(&owned(("other/fresh", Revoked, 3))));

    let rows = store.measurements().await.unwrap();
    assert_eq!(rows.iter().find(|row| row.name == "v1").unwrap().reason.as_deref(), Some("key leaked"));
    assert_eq!(store.load().await.unwrap().tombstones, [(pcrs(1), "a/v1".to_owned())]);
    assert_eq!(
        place.audit(&store).await,
        ["policy policy-seeded 1", "policy measurement-revoked 2", "policy policy-seeded 3"]
    );
}

#[tokio::test]
async fn revoked_in_the_file_leaves_a_tombstone_too() {
    let place = Place::new("revoked-in-file");
    let store = place.open().await;
    store.seed(&[spec("a", &[("v1", 1, Revoked)])], UnixMs(1)).await.unwrap();
    let seeded = store.seed(&[spec("a", &[("v1", 1, Active)])], UnixMs(2)).await.unwrap();
    assert_eq!(seeded.kept_revoked, ["a/v1"]);
    assert_eq!(seeded.committed.epoch, Epoch(1));
}

#[tokio::test]
async fn a_revocation_that_cannot_be_changes_nothing() {
    let place = Place::new("no-revoke");
    let store = place.open().await;
    let error = store.revoke("a", "v1", None, UnixMs(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no measurement \"a/v1\": the store has none (serve seeds it from the configuration)"
    );
    store.seed(&[spec("a", &[("v1", 1, Active)])], UnixMs(1)).await.unwrap();
    let error = store.revoke("a", "v2", None, UnixMs(2)).await.unwrap_err();
    assert_eq!(error.to_string(), "no measurement \"a/v2\"; known: a/v1");
    store.revoke("a", "v1", None, UnixMs(2)).await.unwrap();
    let error = store.revoke("a", "v1", None, UnixMs(3)).await.unwrap_err();
    assert_eq!(error.to_string(), "measurement \"a/v1\" is revoked already");
    assert_eq!(store.committed().await.unwrap().epoch, Epoch(2));
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening_and_for_another_process() {
    let place = Place::new("reopen");
    let store = place.open().await;
    store.seed(&[spec("a", &[("v1", 1, Active)])], UnixMs(1)).await.unwrap();
    store
        .append(Batch { events: vec![event("admitted")], sessions: vec![session(1, 1, 5_000)] })
        .await
        .unwrap();
    let other = place.open().await;
    other.revoke("a", "v1", None, UnixMs(2)).await.unwrap();
    assert_eq!(store.committed().await.unwrap().epoch, Epoch(2), "seen by the process that serves");
    drop((store, other));
    let store = place.open().await;
    assert_eq!(store.committed().await.unwrap(), Committed { epoch: Epoch(2), at: UnixMs(2) });
    assert!(store.sessions(UnixMs(0)).await.unwrap().is_empty(), "its sessions went with the measurement");
    let missing = place.0.join("elsewhere");
    std::fs::create_dir(&missing).unwrap();
    assert!(matches!(SqliteStore::open(&missing, Missing::Fail).await, Err(StoreError::Absent { .. })));
}

#[tokio::test]
async fn concurrent_changes_each_get_an_epoch_of_their_own() {
    let place = Place::new("concurrent");
    let store = place.open().await;
    let names: Vec<String> = (0..10).map(|index| format!("v{index}")).collect();
    let list: Vec<_> =
        names.iter().zip(0u8..).map(|(name, index)| (name.as_str(), index + 1, Active)).collect();
    store.seed(&[spec("a", &list)], UnixMs(1)).await.unwrap();
    let revocations = names.iter().map(|name| {
        let (store, name) = (store.clone(), name.clone());
        tokio::spawn(
            async move { store.revoke("a", &name, None, UnixMs(2)).await.unwrap().committed.epoch.0 },
        )
    });
    let mut epochs = Vec::new();
    for revocation in revocations.collect::<Vec<_>>() {
        epochs.push(revocation.await.unwrap());
    }
    epochs.sort_unstable();
    assert_eq!(epochs, (2..=11).collect::<Vec<_>>());
}

#[tokio::test]
async fn sessions_are_kept_renewed_and_lapse() {
    let place = Place::new("sessions");
    let store = place.open().await;
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

#[tokio::test]
async fn a_tidied_log_is_written_again_from_its_start() {
    let place = Place::new("tidy");
    let store = place.open().await;
    let log = || std::fs::metadata(place.0.join("countersign.db-wal")).unwrap().len();
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

#[tokio::test]
async fn the_audit_is_bounded_by_count_and_by_age() {
    let place = Place::new("prune");
    let store = place.open().await;
    let at = |ms| AuditEvent { at: UnixMs(ms), ..event("admitted") };
    store.append(Batch { events: (1..=20).map(at).collect(), sessions: vec![] }).await.unwrap();
    let young = Duration::from_secs(3600);
    assert_eq!(store.prune(AuditRetention { rows: 15, age: young }, UnixMs(20)).await.unwrap(), 5);
    assert_eq!(
        store.prune(AuditRetention { rows: 15, age: Duration::from_millis(2) }, UnixMs(20)).await.unwrap(),
        12
    );
    assert_eq!(place.audit(&store).await.len(), 3);
}

#[tokio::test]
async fn a_batch_that_fails_leaves_nothing_and_the_next_one_goes_through() {
    let place = Place::new("rollback");
    let store = place.open().await;
    // A database without the table that the batch's second half needs.
    sqlx::query("ALTER TABLE session RENAME TO hidden").execute(&store.policy).await.unwrap();
    let batch = Batch { events: vec![event("admitted")], sessions: vec![session(1, 1, 5_000)] };
    store.append(batch.clone()).await.unwrap_err();
    sqlx::query("ALTER TABLE hidden RENAME TO session").execute(&store.policy).await.unwrap();
    assert!(place.audit(&store).await.is_empty(), "the audit row went with the session that failed");
    store.append(batch).await.unwrap();
    assert_eq!(place.audit(&store).await, ["admission admitted 1"]);
}

#[tokio::test]
async fn whoever_records_waits_for_the_commit() {
    let place = Place::new("journal");
    let store = place.open().await;
    let (journal, writer) = Journal::start(Arc::new(store.clone()));
    let records = (1u8..=200).map(|index| {
        let journal = journal.clone();
        tokio::spawn(async move { journal.record(event("admitted"), session(index, 1, 5_000)).await })
    });
    for record in records.collect::<Vec<_>>() {
        assert_eq!(record.await.unwrap(), Ok(()));
    }
    assert_eq!(store.sessions(UnixMs(0)).await.unwrap().len(), 200);
    journal.note(AuditEvent { kind: "refusal", ..event("pcr-mismatch") });
    drop(journal);
    writer.await.unwrap();
    let audit = place.audit(&store).await;
    assert_eq!((audit.len(), audit.last().unwrap().as_str()), (201, "refusal pcr-mismatch 1"));
}

#[tokio::test]
async fn a_store_that_refuses_is_told_to_whoever_waits() {
    let place = Place::new("journal-fails");
    let store = place.open().await;
    sqlx::query("DROP TABLE session").execute(&store.policy).await.unwrap();
    let (journal, _writer) = Journal::start(Arc::new(store));
    let recorded = journal.record(event("admitted"), session(1, 1, 5_000)).await;
    assert_eq!(recorded, Err(JournalError::NotWritten));
}

use MeasurementState::{Active, Pending, Revoked};

fn spec(name: &str, measurements: &[(&str, u8, MeasurementState)]) -> WorkloadSpec {
    let workload = Workload {
        name: name.parse().unwrap(),
        destinations: ["kms.example:443".parse().unwrap()].into_iter().collect(),
        addresses: vec!["127.0.0.0/8".parse().unwrap()],
        lease_bounds: LeaseBounds::default(),
        limits: Limits::default(),
    };
    let measurements = measurements.iter().map(|(name, byte, state)| MeasurementSpec {
        name: (*name).to_owned(),
        version: None,
        pcrs: pcrs(*byte),
        state: *state,
    });
    WorkloadSpec { workload, measurements: measurements.collect() }
}

fn pcrs(byte: u8) -> PcrSet {
    let mut set = PcrSet::EMPTY;
    for index in 0..3 {
        set.insert(PcrIndex::new(index).unwrap(), Pcr::new([byte; 48])).unwrap();
    }
    set
}

fn event(code: &'static str) -> AuditEvent {
    AuditEvent {
        at: UnixMs(1),
        kind: "admission",
        code,
        epoch: Epoch(1),
        workload: Some("a".into()),
        measurement: Some("v1".into()),
        session: Some(SessionId::from_bytes([1; 16])),
        request_id: "r".into(),
        detail: None,
    }
}

fn session(id: u8, sequence: u64, lease_ends: i64) -> SessionRow {
    SessionRow {
        id: SessionId::from_bytes([id; 16]),
        key: KeyThumbprint::from_bytes([id; 32]),
        workload: "a".into(),
        measurement: "v1".into(),
        boot_id: BootId::from_bytes([9; 16]),
        sequence,
        lease: Lease::MIN,
        lease_ends: UnixMs(lease_ends),
        epoch: Epoch(1),
    }
}

async fn states(store: &SqliteStore) -> Vec<(String, MeasurementState, u64)> {
    let rows = store.measurements().await.unwrap();
    rows.into_iter().map(|row| (format!("{}/{}", row.workload, row.name), row.state, row.epoch.0)).collect()
}

fn owned((name, state, epoch): (&str, MeasurementState, u64)) -> (String, MeasurementState, u64) {
    (name.to_owned(), state, epoch)
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.0, Missing::Make).await.unwrap()
    }

    async fn audit(&self, store: &SqliteStore) -> Vec<String> {
        store.audit_for_tests().await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
