//! What the configuration file keeps.

use countersign_protocol::Epoch;

use super::{
    database::Database,
    make::{done, event, owned, pcrs, refused, request, revoke, session, spec, states},
};
use crate::{
    config::MeasurementState::{Active, Pending, Revoked},
    store::*,
};

pub(super) async fn seeding_is_one_change_and_the_same_file_none(database: Database) {
    let store = database.open().await;
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
    assert_eq!(store.audit_for_tests().await, ["policy policy-seeded 1"]);
}

pub(super) async fn what_left_the_file_is_revoked_and_may_come_back(database: Database) {
    let store = database.open().await;
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

pub(super) async fn a_revoked_set_of_pcrs_stays_revoked_under_every_name(database: Database) {
    let store = database.open().await;
    let specs = [spec("a", &[("v1", 1, Active), ("same", 1, Active), ("v2", 2, Active)])];
    store.seed(&specs, UnixMs(1)).await.unwrap();
    let change = Change::RevokeMeasurement {
        workload: "a".parse().unwrap(),
        name: "v1".into(),
        reason: Some("key leaked".into()),
    };
    let revoked = done(&store, request("ann", change, 5)).await;
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

    let row = store.measurement("a", "v1").await.unwrap().unwrap();
    assert_eq!(row.reason.as_deref(), Some("key leaked"));
    assert_eq!(store.load().await.unwrap().tombstones, [(pcrs(1), "a/v1".to_owned())]);
    assert_eq!(
        store.audit_for_tests().await,
        ["policy policy-seeded 1", "policy measurement-revoked 2", "policy policy-seeded 3"]
    );
}

pub(super) async fn revoked_in_the_file_leaves_a_tombstone_too(database: Database) {
    let store = database.open().await;
    store.seed(&[spec("a", &[("v1", 1, Revoked)])], UnixMs(1)).await.unwrap();
    let seeded = store.seed(&[spec("a", &[("v1", 1, Active)])], UnixMs(2)).await.unwrap();
    assert_eq!(seeded.kept_revoked, ["a/v1"]);
    assert_eq!(seeded.committed.epoch, Epoch(1));
}

pub(super) async fn a_revocation_that_cannot_be_changes_nothing(database: Database) {
    let store = database.open().await;
    let error = refused(&store, request("ann", revoke("a", "v1"), 1)).await;
    assert_eq!(error.to_string(), "there is no measurement a/v1");
    store.seed(&[spec("a", &[("v1", 1, Active)])], UnixMs(1)).await.unwrap();
    let error = refused(&store, request("ann", revoke("a", "v2"), 2)).await;
    assert_eq!(error.to_string(), "there is no measurement a/v2; known: a/v1");
    done(&store, request("ann", revoke("a", "v1"), 2)).await;
    let error = refused(&store, request("ann", revoke("a", "v1"), 3)).await;
    assert_eq!(error.to_string(), "measurement a/v1 is revoked already");
    assert_eq!(store.committed().await.unwrap().epoch, Epoch(2));
}

pub(super) async fn what_was_committed_is_there_after_reopening_and_for_another_process(database: Database) {
    let store = database.open().await;
    store.seed(&[spec("a", &[("v1", 1, Active)])], UnixMs(1)).await.unwrap();
    store
        .append(Batch { events: vec![event("admitted")], sessions: vec![session(1, 1, 5_000)] })
        .await
        .unwrap();
    let other = database.open().await;
    done(&other, request("ann", revoke("a", "v1"), 2)).await;
    assert_eq!(store.committed().await.unwrap().epoch, Epoch(2), "seen by the process that serves");
    drop((store, other));
    let store = database.open().await;
    assert_eq!(store.committed().await.unwrap(), Committed { epoch: Epoch(2), at: UnixMs(2) });
    assert!(store.sessions(UnixMs(0)).await.unwrap().is_empty(), "its sessions went with the measurement");
}

pub(super) async fn concurrent_changes_each_get_an_epoch_of_their_own(database: Database) {
    let store = database.open().await;
    let names: Vec<String> = (0..10).map(|index| format!("v{index}")).collect();
    let list: Vec<_> =
        names.iter().zip(0u8..).map(|(name, index)| (name.as_str(), index + 1, Active)).collect();
    store.seed(&[spec("a", &list)], UnixMs(1)).await.unwrap();
    let revocations = names.iter().map(|name| {
        let (store, name) = (store.clone(), name.clone());
        tokio::spawn(
            async move { done(&store, request("ann", revoke("a", &name), 2)).await.committed.epoch.0 },
        )
    });
    let mut epochs = Vec::new();
    for revocation in revocations.collect::<Vec<_>>() {
        epochs.push(revocation.await.unwrap());
    }
    epochs.sort_unstable();
    assert_eq!(epochs, (2..=11).collect::<Vec<_>>());
}
