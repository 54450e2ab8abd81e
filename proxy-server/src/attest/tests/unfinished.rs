//! What becomes of an admission between its judgement and its answer.

use std::sync::{Arc, Mutex};

use countersign_protocol::{Lease, LeaseBounds, Problem, SessionId, message::Grant};

use super::{client::Client, fixture::Fixture};
use crate::{
    policy::Policy,
    session::EndReason,
    store::{Actor, Change, ChangeRequest, PolicyStore, UnixMs},
};

/// Nobody ended it: it never was. A session that was renewed goes on.
#[tokio::test]
async fn what_was_not_recorded_has_no_end() {
    let fixture = Fixture::start("unrecorded").await;
    let told = ends(&fixture);
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let hide = "ALTER TABLE session RENAME TO hidden";
    fixture.store.sql_for_tests(hide).await;
    assert_eq!(refusal(client.attest(1).await), "internal");
    assert!(fixture.sessions.is_empty());
    fixture.store.sql_for_tests("ALTER TABLE hidden RENAME TO session").await;
    let grant = client.attest(2).await.unwrap();
    fixture.store.sql_for_tests(hide).await;
    assert_eq!(refusal(client.attest(3).await), "internal");
    assert_eq!(fixture.sessions.find(&grant.session).unwrap().ended(), None);
    assert_eq!(*told.lock().unwrap(), []);
}

/// At another replica, and the watcher here has not seen it yet.
#[tokio::test]
async fn a_session_that_somebody_ended_is_told_so_when_it_renews() {
    let fixture = Fixture::start("ended").await;
    let told = ends(&fixture);
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let session = client.attest(1).await.unwrap().session;
    let end = Change::EndSession { session, reason: None };
    let actor = Actor { subject: "local:test".into(), request_id: "test".into() };
    fixture.store.change(ChangeRequest::at_once(end, actor, UnixMs::now())).await.unwrap();
    assert_eq!(refusal(client.attest(2).await), "session-ended");
    assert_eq!(*told.lock().unwrap(), [(session, EndReason::EndedByAdmin)]);
}

/// The rules are taken before the enclave waits for its turn, and may be narrower afterwards.
#[tokio::test]
async fn rules_that_narrow_while_an_enclave_waits_hold_for_it() {
    let fixture = Fixture::start("narrowed").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let turn = fixture.gate.turn().await.unwrap();
    let attesting = tokio::spawn(async move { (client.attest(1).await, client) });
    while fixture.gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let mut stored = fixture.store.load().await.unwrap();
    let lease = |seconds| Lease::from_secs(seconds).unwrap();
    stored.workloads[0].lease_bounds = LeaseBounds::new(lease(30), lease(60)).unwrap();
    stored.committed.epoch.0 += 1;
    fixture.policy.replace(Arc::new(Policy::from_store(&stored, UnixMs::now()).unwrap()));
    drop(turn);
    let (refused, mut client) = attesting.await.unwrap();
    assert_eq!(refusal(refused), "session-ended");
    assert!(fixture.sessions.is_empty());
    let session = client.attest(2).await.unwrap().session;
    let rules = fixture.sessions.find(&session).unwrap().workload();
    assert_eq!(rules.lease_bounds.max(), lease(60));
}

/// What the audit is told of ends.
fn ends(fixture: &Fixture) -> Told {
    let told = Told::default();
    let heard = Arc::clone(&told);
    fixture.sessions.witness_ends(move |ends| {
        heard.lock().unwrap().extend(ends.into_iter().map(|end| (end.id, end.reason)));
    });
    told
}

type Told = Arc<Mutex<Vec<(SessionId, EndReason)>>>;

fn refusal(answer: Result<Grant, Problem>) -> String {
    answer.unwrap_err().code.into_owned()
}
