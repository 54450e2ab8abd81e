//! Changes of the policy: what each does, and why it is refused.

use countersign_protocol::Epoch;

use super::{
    database::Database,
    make::{
        add, done, edit, new, owned, pcrs, pinned, put, refused, request, revoke, session, spec, states,
        workload,
    },
};
use crate::{
    config::MeasurementState::{Active, Revoked},
    store::*,
};

pub(super) async fn a_workload_and_its_measurement_come_live_and_go(database: Database) {
    let store = database.open().await;
    let made = done(&store, request("ann", put("a", &["kms.example:443"]), 10)).await;
    assert_eq!(made.committed, Committed { epoch: Epoch(1), at: UnixMs(10) });
    assert_eq!((made.revision, made.standing), (Some(1), Standing::InForce));
    let added = done(&store, request("ann", add("a", "v1", pcrs(1)), 11)).await;
    assert_eq!((added.committed.epoch, added.revision), (Epoch(2), Some(1)));
    assert_eq!(added.warnings.len(), 1, "nothing is pinned: {:?}", added.warnings);
    let pinned = done(&store, request("ann", add("a", "v2", pinned(2, &[(8, 9)])), 12)).await;
    assert_eq!(pinned.warnings, [""; 0]);
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.workloads, [workload("a", &["kms.example:443"])]);

    let row = store.measurement("a", "v1").await.unwrap().unwrap();
    assert_eq!((row.origin, row.state, row.author.as_deref()), (Origin::Api, Active, Some("token:ann")));
    assert_eq!((row.created, row.revision, row.epoch), (UnixMs(11), 1, Epoch(2)));
    let gone = done(&store, request("bob", revoke("a", "v1"), 13)).await;
    assert_eq!((gone.committed.epoch, gone.revision), (Epoch(4), Some(2)));
    assert_eq!(states(&store).await, [("a/v1", Revoked, 4), ("a/v2", Active, 3)].map(owned));
    let page = store.tombstones(&Visible::Everything, Page { after: None, limit: 9 }).await.unwrap();
    assert_eq!(page.rows[0].author.as_deref(), Some("token:bob"));

    let name = "a".parse().unwrap();
    let ended = Change::RevokeWorkload { workload: name, reason: Some("moved".into()) };
    assert_eq!(done(&store, request("bob", ended, 14)).await.committed.epoch, Epoch(5));
    let row = store.workload("a").await.unwrap().unwrap();
    assert_eq!((row.revoked, row.reason.as_deref(), row.revision), (true, Some("moved"), 2));
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.workloads.len(), loaded.measurements.len(), loaded.tombstones.len()), (0, 0, 1));
    assert_eq!(
        store.audit_for_tests().await,
        [
            "policy workload-put 1",
            "policy measurement-added 2",
            "policy measurement-added 3",
            "policy measurement-revoked 4",
            "policy workload-revoked 5"
        ]
    );
    let rows = store.chain_rows("policy", 0, 10).await.unwrap();
    let said = &rows[3].event;
    assert_eq!((said.actor.as_deref(), said.request_id.as_deref()), (Some("token:bob"), Some("req-bob")));
    assert!(said.before.as_ref().unwrap().contains(r#""state":"active""#), "{said:?}");
    assert!(said.after.as_ref().unwrap().contains(r#""state":"revoked""#), "{said:?}");
}

pub(super) async fn every_refusal_has_its_reason_and_changes_nothing(database: Database) {
    let store = database.open().await;
    store.seed(&[spec("file", &[("v1", 50, Active)])], UnixMs(1)).await.unwrap();
    for change in [
        put("a", &["kms.example:443"]),
        put("b", &[]),
        add("a", "v1", pinned(1, &[(8, 1)])),
        add("a", "old", pcrs(9)),
        revoke("a", "old"),
    ] {
        done(&store, request("ann", change, 2)).await;
    }
    let before = (store.committed().await.unwrap(), store.audit_for_tests().await);
    let what = |text: &str| text.to_owned();
    let measurement = |name: &str, set| Change::AddMeasurement {
        workload: "a".parse().unwrap(),
        measurement: new(name, set),
    };
    let known = vec!["a/old".to_owned(), "a/v1".to_owned()];
    let zeros = pcrs(0);
    let mut few = countersign_verifier::PcrSet::EMPTY;
    few.insert(countersign_verifier::PcrIndex::PCR0, countersign_verifier::Pcr::new([1; 48])).unwrap();
    let cases: Vec<(Change, ChangeError)> = vec![
        (
            add("zz", "v1", pcrs(3)),
            ChangeError::NotFound {
                what: what("workload zz"),
                known: vec![what("a"), what("b"), what("file")],
            },
        ),
        (revoke("a", "v9"), ChangeError::NotFound { what: what("measurement a/v9"), known }),
        (measurement("v1", pcrs(3)), ChangeError::Exists { what: what("measurement a/v1") }),
        (measurement("old", pcrs(3)), ChangeError::Exists { what: what("measurement a/old") }),
        (measurement("v2", pinned(1, &[(8, 1)])), ChangeError::SamePcrs { other: what("a/v1") }),
        (add("b", "v1", pcrs(1)), ChangeError::Overlaps { other: what("a/v1") }),
        (add("b", "v1", pinned(1, &[(3, 1)])), ChangeError::Overlaps { other: what("a/v1") }),
        (add("b", "v1", pcrs(50)), ChangeError::Overlaps { other: what("file/v1") }),
        (measurement("back", pcrs(9)), ChangeError::Buried { measurement: what("a/old") }),
        (add("b", "narrower", pinned(9, &[(8, 1)])), ChangeError::Buried { measurement: what("a/old") }),
        (revoke("a", "old"), ChangeError::AlreadyRevoked { what: what("measurement a/old") }),
        (
            Change::RevokePcrs { pcrs: pcrs(9), reason: None },
            ChangeError::AlreadyRevoked { what: what("set of PCRs") },
        ),
        (
            Change::LiftTombstone { pcrs: pcrs(8), reason: None },
            ChangeError::NotFound { what: what("tombstone of this set of PCRs"), known: vec![] },
        ),
        (
            Change::EndSession { session: session(1, 1, 1).id, reason: None },
            ChangeError::NotFound { what: format!("session {}", session(1, 1, 1).id), known: vec![] },
        ),
        (put("file", &[]), ChangeError::KeptByFile { what: what("workload file") }),
        (
            edit("file", "v1", MeasurementEdit::default()),
            ChangeError::KeptByFile { what: what("measurement file/v1") },
        ),
        (
            edit("a", "old", MeasurementEdit::default()),
            ChangeError::AlreadyRevoked { what: what("measurement a/old") },
        ),
        (
            Change::Approve { workload: "a".parse().unwrap(), measurement: Some(what("v1")) },
            ChangeError::NothingWaits { what: what("measurement a/v1") },
        ),
        (
            Change::Withdraw { workload: "a".parse().unwrap(), measurement: None },
            ChangeError::NothingWaits { what: what("workload a") },
        ),
    ];
    for (change, expected) in cases {
        let label = format!("{change:?}");
        assert_eq!(refused(&store, request("ann", change, 3)).await, expected, "{label}");
    }
    for (change, field) in [
        (measurement("v2", zeros), "pcrs"),
        (measurement("v2", few), "pcrs"),
        (measurement("Not a name", pcrs(3)), "name"),
        (Change::RevokePcrs { pcrs: countersign_verifier::PcrSet::EMPTY, reason: None }, "pcrs"),
        (edit("a", "v1", MeasurementEdit { expires: Some(UnixMs(3)), ..Default::default() }), "expires"),
        (
            edit(
                "a",
                "v1",
                MeasurementEdit {
                    not_before: Some(UnixMs(9)),
                    expires: Some(UnixMs(9)),
                    ..Default::default()
                },
            ),
            "not_before",
        ),
    ] {
        let label = format!("{change:?}");
        let error = refused(&store, request("ann", change, 3)).await;
        assert!(
            matches!(error, ChangeError::Invalid { field: actual, .. } if actual == field),
            "{label}: {error:?}"
        );
    }
    let many = ChangeRequest { approvals: MOST_APPROVALS + 1, ..request("ann", put("c", &[]), 3) };
    assert!(matches!(refused(&store, many).await, ChangeError::Invalid { field: "approvals", .. }));
    assert_eq!((store.committed().await.unwrap(), store.audit_for_tests().await), before);
}

pub(super) async fn a_revision_that_has_passed_is_told(database: Database) {
    let store = database.open().await;
    done(&store, request("ann", put("a", &[]), 1)).await;
    let with = |change, precondition| ChangeRequest { precondition, ..request("bob", change, 2) };
    let error = refused(&store, with(put("a", &["x.example:1"]), Precondition::Absent)).await;
    assert_eq!(error, ChangeError::Exists { what: "workload a".into() });
    let first = with(put("a", &["x.example:1"]), Precondition::Revision(1));
    assert_eq!(done(&store, first.clone()).await.revision, Some(2));
    let error = refused(&store, with(put("a", &["y.example:1"]), Precondition::Revision(1))).await;
    assert_eq!(error, ChangeError::Revision { what: "workload a".into(), expected: 1, actual: 2 });
    let error = refused(&store, with(put("none", &[]), Precondition::Revision(1))).await;
    assert_eq!(error, ChangeError::NotFound { what: "workload none".into(), known: vec![] });
    // The same again is no change, and says so by its revision and epoch.
    let again = done(&store, with(put("a", &["x.example:1"]), Precondition::Revision(2))).await;
    assert_eq!((again.revision, again.committed.epoch), (Some(2), Epoch(2)));
}

pub(super) async fn words_change_without_an_epoch_and_validity_with_one(database: Database) {
    let store = database.open().await;
    done(&store, request("ann", put("a", &[]), 1)).await;
    done(&store, request("ann", add("a", "v1", pcrs(1)), 2)).await;
    let words = MeasurementEdit { version: Some("1.4".into()), ..Default::default() };
    let edited = done(&store, request("ann", edit("a", "v1", words.clone()), 3)).await;
    assert_eq!((edited.committed.epoch, edited.revision), (Epoch(2), Some(2)));
    let timed = MeasurementEdit { expires: Some(UnixMs(100)), ..words };
    let edited = done(&store, request("ann", edit("a", "v1", timed.clone()), 4)).await;
    assert_eq!((edited.committed.epoch, edited.revision), (Epoch(3), Some(3)));
    let same = done(&store, request("ann", edit("a", "v1", timed), 5)).await;
    assert_eq!((same.committed.epoch, same.revision), (Epoch(3), Some(3)));
    let loaded = store.load().await.unwrap();
    assert_eq!((loaded.measurements[0].expires, loaded.measurements[0].epoch), (Some(UnixMs(100)), Epoch(2)));
}

pub(super) async fn a_dry_run_says_all_and_changes_nothing(database: Database) {
    let store = database.open().await;
    done(&store, request("ann", put("a", &["kms.example:443"]), 1)).await;
    done(&store, request("ann", add("a", "v1", pcrs(1)), 2)).await;
    let live = SessionRow { epoch: Epoch(2), ..session(1, 1, 90_000) };
    store.append(Batch { events: vec![], sessions: vec![live.clone()] }).await.unwrap();
    let load = Load { workload: "a".into(), measurement: "v1".into(), sessions: 1, tunnels: 7 };
    for (id, seen, stopped) in
        [(1, 19_000, None), (2, 19_000, None), (3, 1_000, None), (4, 19_000, Some(UnixMs(1)))]
    {
        store.heartbeat(&replica(id, seen, stopped, vec![load.clone()])).await.unwrap();
    }
    let before = (store.load().await.unwrap(), store.audit_for_tests().await, store.chains().await.unwrap());
    for change in [
        revoke("a", "v1"),
        Change::RevokePcrs { pcrs: pcrs(1), reason: None },
        Change::RevokeWorkload { workload: "a".parse().unwrap(), reason: None },
        put("a", &[]),
    ] {
        let idempotency = Some(Idempotency { key: "k".into(), request: [1; 32] });
        let asked =
            ChangeRequest { mode: Mode::DryRun, idempotency, ..request("ann", change.clone(), 20_000) };
        let would = done(&store, asked).await;
        let names = ["replica1", "replica2"].map(str::to_owned).to_vec();
        assert_eq!(would.impact, Impact { sessions: 1, tunnels: 14, replicas: names }, "{change:?}");
        assert_eq!((would.committed.epoch, would.replayed), (Epoch(2), false));
        let after =
            (store.load().await.unwrap(), store.audit_for_tests().await, store.chains().await.unwrap());
        assert_eq!(after.1, before.1, "{change:?}");
        assert_eq!(after.2, before.2, "{change:?}");
        assert_eq!(format!("{:?}", after.0), format!("{:?}", before.0), "{change:?}");
        assert_eq!(store.sessions(UnixMs(0)).await.unwrap().len(), 1);
    }
    let done = done(&store, request("ann", revoke("a", "v1"), 20_000)).await;
    assert_eq!((done.impact.sessions, done.impact.tunnels), (1, 14));
    assert_eq!(store.sessions(UnixMs(0)).await.unwrap(), []);
}

pub(super) async fn a_revoked_set_takes_what_it_covers_and_what_it_might_have_matched(database: Database) {
    let store = database.open().await;
    done(&store, request("ann", put("a", &[]), 1)).await;
    for (name, set) in [("open", pcrs(1)), ("signed", pinned(1, &[(8, 4)])), ("other", pinned(1, &[(8, 5)]))]
    {
        done(&store, request("ann", add("a", name, set), 2)).await;
    }
    let sessions = [("open", 1), ("signed", 2), ("other", 3)];
    let rows = sessions.map(|(name, id)| SessionRow {
        measurement: name.into(),
        epoch: Epoch(4),
        ..session(id, 1, 90_000)
    });
    store.append(Batch { events: vec![], sessions: rows.to_vec() }).await.unwrap();
    let mut signer = countersign_verifier::PcrSet::EMPTY;
    let index = countersign_verifier::PcrIndex::new(8).unwrap();
    signer.insert(index, countersign_verifier::Pcr::new([4; 48])).unwrap();
    let change = Change::RevokePcrs { pcrs: signer.clone(), reason: Some("stolen".into()) };
    assert_eq!(done(&store, request("ann", change, 5)).await.impact.sessions, 2);
    assert_eq!(
        states(&store).await,
        [("a/open", Active, 5), ("a/other", Active, 4), ("a/signed", Revoked, 5)].map(owned),
        "who stands by an open measurement attests again"
    );
    let left: Vec<_> =
        store.sessions(UnixMs(0)).await.unwrap().into_iter().map(|row| row.measurement).collect();
    assert_eq!(left, ["other"]);
    assert_eq!(store.load().await.unwrap().tombstones, [(signer.clone(), "a set of PCRs".to_owned())]);
    // Lifted, nothing comes back by itself; and its name is free again.
    done(&store, request("bob", Change::LiftTombstone { pcrs: signer, reason: None }, 6)).await;
    assert!(states(&store).await.contains(&owned(("a/signed", Revoked, 5))));
    let again = done(&store, request("ann", add("a", "signed", pinned(1, &[(8, 4)])), 7)).await;
    assert_eq!((again.committed.epoch, again.revision), (Epoch(7), Some(3)));
}

pub(super) async fn a_file_neither_brings_back_nor_forgets_what_the_api_did(database: Database) {
    let store = database.open().await;
    let specs = [spec("a", &[("v1", 1, Active)])];
    store.seed(&specs, UnixMs(1)).await.unwrap();
    done(&store, request("ann", add("a", "v2", pcrs(2)), 2)).await;
    done(&store, request("ann", put("mine", &[]), 3)).await;
    let seeded = store.seed(&specs, UnixMs(4)).await.unwrap();
    assert_eq!((seeded.changes.len(), seeded.committed.epoch), (0, Epoch(3)), "rows of the API stay");
    let change = Change::RevokeWorkload { workload: "a".parse().unwrap(), reason: None };
    done(&store, request("ann", change, 5)).await;
    let seeded = store.seed(&specs, UnixMs(6)).await.unwrap();
    assert_eq!((seeded.kept_revoked, seeded.committed.epoch), (vec!["a".to_owned()], Epoch(4)));
    // Made again by somebody, it is theirs until the file takes it over.
    done(&store, request("ann", put("a", &["x.example:1"]), 7)).await;
    let seeded = store.seed(&specs, UnixMs(8)).await.unwrap();
    assert_eq!(seeded.changes, ["workload a set, taken over from the API", "measurement a/v1 active"]);
    let clash = [spec("a", &[("v1", 1, Active)]), spec("c", &[("v1", 2, Active)])];
    done(&store, request("ann", add("mine", "v7", pcrs(7)), 9)).await;
    let overlapping = [clash[0].clone(), spec("c", &[("v1", 7, Active)])];
    let error = store.seed(&overlapping, UnixMs(10)).await.unwrap_err();
    assert_eq!(error.to_string(), ChangeError::Overlaps { other: "mine/v7".into() }.to_string());
    assert_eq!(store.workload("c").await.unwrap(), None, "nothing of it was done");
}

fn replica(id: u8, seen: i64, stopped: Option<UnixMs>, load: Vec<Load>) -> ReplicaRow {
    ReplicaRow {
        id: [id; 16],
        name: format!("replica{id}"),
        started: UnixMs(1),
        seen: UnixMs(seen),
        epoch: Epoch(2),
        sessions: 1,
        tunnels: 7,
        load,
        audit_key: "key".into(),
        stopped,
    }
}

pub(super) async fn replicas_are_known_for_a_day(database: Database) {
    let store = database.open().await;
    let load = vec![Load { workload: "a".into(), measurement: "v1".into(), sessions: 2, tunnels: 3 }];
    let (first, second) = (replica(1, 1_000, None, vec![]), replica(2, 2_000, None, load));
    for row in [&first, &second] {
        store.heartbeat(row).await.unwrap();
    }
    assert_eq!(store.replicas(UnixMs(2_000)).await.unwrap(), [first.clone(), second.clone()]);
    let later = replica(1, 7_000, Some(UnixMs(7_000)), vec![]);
    store.heartbeat(&later).await.unwrap();
    assert_eq!(store.replicas(UnixMs(7_000)).await.unwrap(), [later.clone(), second]);
    assert_eq!(store.replicas(UnixMs(86_402_001)).await.unwrap(), [later]);
}
