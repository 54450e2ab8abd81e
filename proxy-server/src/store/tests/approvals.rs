//! What waits for people.

use countersign_protocol::Epoch;

use super::{
    database::Database,
    make::{add, approve, done, edit, pcrs, put, refused, request, revoke, workload},
};
use crate::{
    config::MeasurementState::{Active, Pending},
    store::*,
};

/// Asked of so many people.
fn needing(approvals: u32, who: &str, change: Change, now: i64) -> ChangeRequest {
    ChangeRequest { approvals, ..request(who, change, now) }
}

fn waiting(approvals: u32, needed: u32) -> Standing {
    Standing::Waiting { approvals, needed }
}

pub(super) async fn a_measurement_waits_for_two_others(database: Database) {
    let store = database.open().await;
    done(&store, request("ann", put("a", &[]), 1)).await;
    let added = done(&store, needing(2, "ann", add("a", "v1", pcrs(1)), 2)).await;
    assert_eq!((added.standing, added.committed.epoch), (waiting(0, 2), Epoch(1)));
    let yes = || approve("a", Some("v1"));
    let own = refused(&store, needing(2, "ann", yes(), 3)).await;
    assert_eq!(own, ChangeError::OwnApproval { subject: "token:ann".into() });
    let first = done(&store, needing(2, "bob", yes(), 4)).await;
    assert_eq!((first.standing, first.committed.epoch, first.revision), (waiting(1, 2), Epoch(1), Some(1)));
    let twice = refused(&store, needing(2, "bob", yes(), 5)).await;
    assert_eq!(twice, ChangeError::AlreadyApproved { subject: "token:bob".into() });
    assert_eq!(store.measurement("a", "v1").await.unwrap().unwrap().state, Pending);
    // A change by its author asks anew; an editor is an author too.
    let words = MeasurementEdit { version: Some("2".into()), ..Default::default() };
    done(&store, needing(2, "eve", edit("a", "v1", words), 6)).await;
    assert!(matches!(refused(&store, needing(2, "eve", yes(), 7)).await, ChangeError::OwnApproval { .. }));
    assert_eq!(done(&store, needing(2, "bob", yes(), 8)).await.standing, waiting(1, 2));
    let last = done(&store, needing(2, "cat", yes(), 9)).await;
    assert_eq!((last.standing, last.committed.epoch, last.revision), (Standing::InForce, Epoch(2), Some(3)));
    let row = store.measurement("a", "v1").await.unwrap().unwrap();
    assert_eq!(
        (row.state, row.epoch, row.approvers),
        (Active, Epoch(2), vec!["token:bob".into(), "token:cat".into()])
    );
    let page = Page { after: None, limit: 5 };
    let rows =
        store.measurements(&Visible::Everything, &MeasurementFilter::default(), page).await.unwrap().rows;
    assert_eq!(rows[0].approvers, ["token:bob", "token:cat"]);
    let nothing = refused(&store, needing(2, "dan", yes(), 10)).await;
    assert_eq!(nothing, ChangeError::NothingWaits { what: "measurement a/v1".into() });
}

pub(super) async fn what_was_revoked_meanwhile_is_not_approved(database: Database) {
    let store = database.open().await;
    done(&store, request("ann", put("a", &[]), 1)).await;
    done(&store, needing(1, "ann", add("a", "v1", pcrs(1)), 2)).await;
    // Somebody lets an overlapping one in elsewhere, without approvals, and revokes it.
    done(&store, request("ann", Change::RevokePcrs { pcrs: pcrs(1), reason: None }, 3)).await;
    let error = refused(&store, needing(1, "bob", approve("a", Some("v1")), 4)).await;
    assert_eq!(error, ChangeError::NothingWaits { what: "measurement a/v1".into() });
}

pub(super) async fn rules_narrow_at_once_and_widen_by_approval(database: Database) {
    let store = database.open().await;
    let made = done(&store, needing(1, "ann", put("a", &["x.example:1", "y.example:1"]), 1)).await;
    assert_eq!((made.standing, made.committed.epoch), (waiting(0, 1), Epoch(1)));
    let loaded = store.load().await.unwrap().workloads.remove(0);
    assert!(loaded.destinations.is_empty(), "nobody has allowed anything yet");
    assert_eq!((loaded.limits.max_sessions, loaded.addresses.len()), (0, 0));
    assert!(matches!(
        refused(&store, needing(1, "ann", approve("a", None), 2)).await,
        ChangeError::OwnApproval { .. }
    ));
    let approved = done(&store, needing(1, "bob", approve("a", None), 3)).await;
    assert_eq!((approved.standing, approved.committed.epoch), (Standing::InForce, Epoch(2)));
    assert_eq!(store.load().await.unwrap().workloads, [workload("a", &["x.example:1", "y.example:1"])]);

    // y goes at once; z waits.
    let changed = done(&store, needing(1, "bob", put("a", &["x.example:1", "z.example:1"]), 4)).await;
    assert_eq!((changed.standing, changed.committed.epoch), (waiting(0, 1), Epoch(3)));
    let row = store.workload("a").await.unwrap().unwrap();
    assert_eq!(row.workload, workload("a", &["x.example:1"]));
    let wanted = workload("a", &["x.example:1", "z.example:1"]);
    assert_eq!(row.pending, Some((wanted.clone(), "token:bob".into(), 0)));
    // What only narrows waits for nobody, and takes back what waits.
    let narrowed = done(&store, needing(1, "eve", put("a", &[]), 5)).await;
    assert_eq!((narrowed.standing, narrowed.committed.epoch), (Standing::InForce, Epoch(4)));
    assert_eq!(store.workload("a").await.unwrap().unwrap().pending, None);
    done(&store, needing(1, "ann", put("a", &["x.example:1"]), 6)).await;
    let withdraw = Change::Withdraw { workload: "a".parse().unwrap(), measurement: None };
    let withdrawn = done(&store, needing(1, "eve", withdraw, 7)).await;
    assert_eq!(withdrawn.committed.epoch, Epoch(4), "nobody allowed it yet");
    assert_eq!(store.load().await.unwrap().workloads, [workload("a", &[])]);
}

pub(super) async fn a_longer_validity_waits_and_a_shorter_one_does_not(database: Database) {
    let store = database.open().await;
    done(&store, request("ann", put("a", &[]), 1)).await;
    done(&store, request("ann", add("a", "v1", pcrs(1)), 2)).await;
    let until =
        |ms: Option<i64>| edit("a", "v1", MeasurementEdit { expires: ms.map(UnixMs), ..Default::default() });
    let shorter = done(&store, needing(1, "ann", until(Some(500)), 3)).await;
    assert_eq!((shorter.standing, shorter.committed.epoch), (Standing::InForce, Epoch(3)));
    let longer = done(&store, needing(1, "bob", until(Some(900)), 4)).await;
    assert_eq!((longer.standing, longer.committed.epoch), (waiting(0, 1), Epoch(3)));
    let row = store.measurement("a", "v1").await.unwrap().unwrap();
    assert_eq!((row.expires, row.state), (Some(UnixMs(500)), Active));
    assert_eq!(row.pending.unwrap().expires, Some(UnixMs(900)));
    assert!(matches!(
        refused(&store, needing(1, "bob", approve("a", Some("v1")), 5)).await,
        ChangeError::OwnApproval { .. }
    ));
    // The author of the measurement itself is somebody else here.
    let approved = done(&store, needing(1, "ann", approve("a", Some("v1")), 6)).await;
    assert_eq!((approved.standing, approved.committed.epoch), (Standing::InForce, Epoch(4)));
    let loaded = store.load().await.unwrap().measurements.remove(0);
    assert_eq!((loaded.expires, loaded.epoch), (Some(UnixMs(900)), Epoch(2)), "its sessions stand");
}

pub(super) async fn a_pending_measurement_is_withdrawn_or_revoked_by_one(database: Database) {
    let store = database.open().await;
    done(&store, request("ann", put("a", &[]), 1)).await;
    done(&store, needing(1, "ann", add("a", "v1", pcrs(1)), 2)).await;
    let withdraw = Change::Withdraw { workload: "a".parse().unwrap(), measurement: Some("v1".into()) };
    assert_eq!(done(&store, needing(1, "bob", withdraw, 3)).await.committed.epoch, Epoch(1));
    assert_eq!(store.measurement("a", "v1").await.unwrap(), None);
    done(&store, needing(1, "ann", add("a", "v1", pcrs(1)), 4)).await;
    assert_eq!(done(&store, needing(1, "bob", revoke("a", "v1"), 5)).await.committed.epoch, Epoch(2));
    let error = refused(&store, needing(1, "ann", add("a", "v2", pcrs(1)), 6)).await;
    assert_eq!(error, ChangeError::Buried { measurement: "a/v1".into() });
}

pub(super) async fn a_tombstone_is_lifted_by_another_where_people_are_asked(database: Database) {
    let store = database.open().await;
    done(&store, request("ann", put("a", &[]), 1)).await;
    done(&store, request("ann", add("a", "v1", pcrs(1)), 2)).await;
    done(&store, request("ann", revoke("a", "v1"), 3)).await;
    let lift = || Change::LiftTombstone { pcrs: pcrs(1), reason: None };
    assert!(matches!(refused(&store, needing(1, "ann", lift(), 4)).await, ChangeError::OwnApproval { .. }));
    // It is another one than was looked at.
    let judged =
        |epoch| ChangeRequest { precondition: Precondition::Revision(epoch), ..needing(1, "bob", lift(), 5) };
    assert!(matches!(refused(&store, judged(2)).await, ChangeError::Revision { expected: 2, actual: 3, .. }));
    assert_eq!(done(&store, judged(3)).await.committed.epoch, Epoch(4));
    // A set that an open measurement would admit at once is another thing.
    done(&store, request("ann", add("a", "open", pcrs(2)), 6)).await;
    let narrow = super::make::pinned(2, &[(8, 1)]);
    done(&store, request("ann", Change::RevokePcrs { pcrs: narrow.clone(), reason: None }, 7)).await;
    let error =
        refused(&store, needing(1, "bob", Change::LiftTombstone { pcrs: narrow.clone(), reason: None }, 8))
            .await;
    assert!(
        matches!(&error, ChangeError::Invalid { field: "pcrs", reason } if reason.contains("a/open")),
        "{error:?}"
    );
    done(&store, request("bob", Change::LiftTombstone { pcrs: narrow, reason: None }, 9)).await;
}
