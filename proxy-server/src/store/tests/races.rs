//! Several writers at once, requests sent twice, answers that were lost.

use countersign_protocol::Epoch;

use super::{
    database::Database,
    make::{add, done, event, pcrs, put, refused, request, revoke, session, spec},
};
use crate::{config::MeasurementState::Active, store::*};

pub(super) async fn a_request_sent_twice_is_done_once(database: Database) {
    let store = database.open().await;
    let with = |key: &str, byte, change| ChangeRequest {
        idempotency: Some(Idempotency { key: key.into(), request: [byte; 32] }),
        ..request("ann", change, 1)
    };
    let first = done(&store, with("k1", 1, put("a", &[]))).await;
    let again = done(&store, with("k1", 1, put("a", &[]))).await;
    assert_eq!(again, Changed { replayed: true, ..first });
    let other = refused(&store, with("k1", 2, put("b", &[]))).await;
    assert_eq!(other, ChangeError::IdempotencyMismatch { key: "k1".into() });
    let other = ChangeRequest { actor: super::make::actor("bob"), ..with("k1", 2, put("b", &[])) };
    assert!(!done(&store, other).await.replayed, "another caller's keys are their own");
    assert!(matches!(refused(&store, with("", 1, put("c", &[]))).await, ChangeError::Invalid { .. }));
    // What was refused was not done, so the key is free.
    assert!(matches!(
        refused(&store, with("k2", 1, add("zz", "v", pcrs(1)))).await,
        ChangeError::NotFound { .. }
    ));
    assert!(!done(&store, with("k2", 3, put("c", &[]))).await.replayed);

    let sent = (0..8).map(|_| {
        let (store, request) = (store.clone(), with("k3", 9, add("a", "v1", pcrs(1))));
        tokio::spawn(async move { done(&store, request).await })
    });
    let mut fresh = 0;
    for sent in sent.collect::<Vec<_>>() {
        let changed = sent.await.unwrap();
        assert_eq!((changed.committed.epoch, changed.revision), (Epoch(4), Some(1)));
        fresh += u32::from(!changed.replayed);
    }
    assert_eq!(fresh, 1);
    // A day later nobody sends it again.
    let kept =
        crate::config::AuditRetention { rows: 1_000_000, age: std::time::Duration::from_secs(86_400 * 30) };
    store.prune(kept, UnixMs(86_400_002)).await.unwrap();
    assert!(!done(&store, with("k1", 7, put("d", &[]))).await.replayed);
}

pub(super) async fn two_writers_leave_no_gap_in_the_epochs(database: Database) {
    let (one, two) = (database.open().await, database.open().await);
    done(&one, request("ann", put("a", &[]), 1)).await;
    let writers = (1..=40u8).map(|byte| {
        let store = if byte % 2 == 0 { one.clone() } else { two.clone() };
        tokio::spawn(async move {
            let change = add("a", &format!("v{byte}"), pcrs(byte));
            done(&store, request("ann", change, 2)).await.committed.epoch.0
        })
    });
    let mut epochs = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        epochs.push(writer.await.unwrap());
    }
    epochs.sort_unstable();
    assert_eq!(epochs, (2..=41).collect::<Vec<_>>());
    let rows = one.chain_rows("policy", 0, 100).await.unwrap();
    let written: Vec<_> = rows.iter().map(|row| (row.seq, row.event.epoch.0)).collect();
    assert_eq!(written, (1..=41).map(|n| (n, n)).collect::<Vec<_>>(), "one row for each, in their order");
}

pub(super) async fn a_session_admitted_by_what_was_revoked_is_not_written(database: Database) {
    let (here, there) = (database.open().await, database.open().await);
    here.seed(&[spec("a", &[("v1", 1, Active), ("v2", 2, Active)])], UnixMs(1)).await.unwrap();
    let admitted = |id: u8, measurement: &str| {
        let session = SessionRow { measurement: measurement.into(), ..session(id, 1, 90_000) };
        let event = AuditEvent { session: Some(session.id), ..event("admitted") };
        (event, session)
    };
    let batch = |rows: Vec<(AuditEvent, SessionRow)>| {
        let (events, sessions) = rows.into_iter().unzip();
        Batch { events, sessions }
    };
    assert_eq!(here.append(batch(vec![admitted(1, "v1")])).await.unwrap(), Appended::default());
    done(&there, request("ann", revoke("a", "v1"), 2)).await;
    // Decided here before the revocation was seen.
    let appended = here.append(batch(vec![admitted(2, "v1"), admitted(3, "v2")])).await.unwrap();
    assert_eq!(appended.refused, [admitted(2, "v1").1.id]);
    let ids: Vec<_> = here.sessions(UnixMs(0)).await.unwrap().into_iter().map(|row| row.id).collect();
    assert_eq!(ids, [admitted(3, "v2").1.id]);
    assert_eq!(
        here.audit_for_tests().await,
        [
            "policy policy-seeded 1",
            "policy measurement-revoked 2",
            "admission admitted 1",
            "admission admitted 1"
        ],
        "no session, no row"
    );
}

pub(super) async fn a_session_that_was_ended_does_not_come_back(database: Database) {
    let (here, there) = (database.open().await, database.open().await);
    here.seed(&[spec("a", &[("v1", 1, Active)])], UnixMs(1)).await.unwrap();
    let batch = |sequence, epoch| Batch {
        events: vec![event("renewed")],
        sessions: vec![SessionRow { epoch: Epoch(epoch), ..session(1, sequence, 90_000) }],
    };
    here.append(batch(1, 1)).await.unwrap();
    let id = session(1, 1, 1).id;
    let end = Change::EndSession { session: id, reason: Some("lost laptop".into()) };
    let ended = done(&there, request("ann", end.clone(), 5)).await;
    assert_eq!((ended.committed.epoch, ended.impact.sessions), (Epoch(2), 1));
    // A renewal by the old policy, and one by the new.
    for epoch in [1, 2] {
        assert_eq!(here.append(batch(2, epoch)).await.unwrap().ended, [id], "epoch {epoch}");
    }
    assert_eq!(here.sessions(UnixMs(0)).await.unwrap(), []);
    let expected = EndedSession { id, epoch: Epoch(2), reason: "lost laptop".into() };
    assert_eq!(here.ended_since(Epoch(1)).await.unwrap(), [expected]);
    assert_eq!(here.ended_since(Epoch(2)).await.unwrap(), []);
    assert!(matches!(refused(&there, request("ann", end, 6)).await, ChangeError::NotFound { .. }));
}

pub(super) async fn admissions_race_a_revocation_and_never_outlive_it(database: Database) {
    let (here, there) = (database.open().await, database.open().await);
    for round in 1..=20u8 {
        let name = format!("v{round}");
        done(&there, request("ann", put("a", &[]), 1)).await;
        let epoch = done(&there, request("ann", add("a", &name, pcrs(round)), 1)).await.committed.epoch;
        let admit = {
            let (here, name) = (here.clone(), name.clone());
            tokio::spawn(async move {
                let mut written = 0;
                for id in 1..=30u8 {
                    let row = SessionRow {
                        measurement: name.clone(),
                        epoch,
                        ..session(id, u64::from(round), 90_000)
                    };
                    let event = AuditEvent { session: Some(row.id), ..event("admitted") };
                    let appended =
                        here.append(Batch { events: vec![event], sessions: vec![row] }).await.unwrap();
                    written += usize::from(appended.refused.is_empty());
                }
                written
            })
        };
        done(&there, request("ann", revoke("a", &name), 2)).await;
        let written = admit.await.unwrap();
        assert!(written <= 30);
        assert_eq!(
            there.sessions(UnixMs(0)).await.unwrap(),
            [],
            "round {round}: {written} were written before"
        );
    }
}

pub(super) async fn two_processes_under_one_id_are_found_out(database: Database) {
    let id = AuditWriter::unsigned([5; 16]);
    let (one, two) = (database.open_as(id.clone()).await, database.open_as(id).await);
    let row = |code| Batch { events: vec![event(code)], sessions: vec![] };
    one.append(row("a")).await.unwrap();
    two.append(row("b")).await.unwrap();
    let error = one.append(row("c")).await.unwrap_err();
    assert!(matches!(error, StoreError::Forked { expected: 1, actual: 2, .. }), "{error:?}");
    assert!(one.append(row("d")).await.is_err(), "and it stays so");
    assert_eq!(two.audit_for_tests().await.len(), 2, "nothing of it was written");
}
