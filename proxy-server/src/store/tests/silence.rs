//! A network that loses connections without a word.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::{
    database::Database,
    make::{event, session},
    relay::Relay,
    sessions,
};
use crate::{config::Hints, store::*};

/// Connections that are given up on a silent path leave their places in the pools, and new ones
/// are made, while the old ones stay open and silent.
#[tokio::test]
async fn a_path_that_falls_silent_is_left_for_another() {
    let Some(mut database) = Database::postgres("silence") else { return };
    let relay = by_relay(&mut database).await;
    let store = sessions::seeded(&database).await;
    let all = async || {
        let row = replica();
        let epoch = timeout(PATIENCE, store.committed());
        let (policy, heartbeat) = (timeout(PATIENCE, store.load()), timeout(PATIENCE, store.heartbeat(&row)));
        let (epoch, policy, heartbeat) = tokio::join!(epoch, policy, heartbeat);
        [matches!(epoch, Ok(Ok(_))), matches!(policy, Ok(Ok(_))), matches!(heartbeat, Ok(Ok(())))]
    };
    assert_eq!(all().await, [true; 3]);
    store.resting_for_tests().await;
    relay.silence();
    assert_eq!(all().await, [false; 3], "nobody answers");
    let answered = async { while all().await != [true; 3] {} };
    timeout(BOUND, answered).await.expect("every purpose has its connections again");
}

/// A statement that fills every buffer on its way cannot even be taken leave of.
#[tokio::test]
async fn a_statement_that_is_stuck_half_way_is_left_too() {
    let Some(mut database) = Database::postgres("stuck") else { return };
    let relay = by_relay(&mut database).await;
    let store = sessions::seeded(&database).await;
    let long = AuditEvent { detail: Some("x".repeat(64 * 1024)), ..event("admitted") };
    let long = Batch { events: vec![long; 512], sessions: vec![] };
    store.append(batch(1)).await.unwrap();
    store.resting_for_tests().await;
    relay.silence();
    assert!(timeout(PATIENCE, store.append(long)).await.is_err(), "nobody takes it");
    // On the second connection that admissions have, and then there is none left.
    store.append(batch(2)).await.unwrap();
    relay.silence();
    let written = async { while store.append(batch(3)).await.is_err() {} };
    timeout(BOUND, written).await.expect("the next batch has a connection");
    assert_eq!(store.audit_for_tests().await.len(), 4);
}

/// A connection dies while the server still works on its batch. The batch is sent again and waits
/// for its own first try, which is then found to have written it.
#[tokio::test]
async fn a_batch_that_waits_for_its_own_first_try_is_written_once() {
    let Some(mut database) = Database::postgres("twice") else { return };
    let StoreConfig::Postgres { url, .. } = database.config.clone() else { unreachable!() };
    let relay = by_relay(&mut database).await;
    let store = sessions::seeded(&database).await;
    store.append(batch(1)).await.unwrap();
    let mut holder = PgConnection::connect(&url).await.unwrap();
    let mut watcher = PgConnection::connect(&url).await.unwrap();
    let mut waiting = async |number: i64| {
        while sqlx::query_scalar::<_, i64>(WAITING).fetch_one(&mut watcher).await.unwrap() < number {}
    };
    // As a policy change does, which stamps its epoch into every chain.
    let mut change = holder.begin().await.unwrap();
    sqlx::query("UPDATE audit_chain SET epoch = epoch").execute(&mut *change).await.unwrap();
    let appending = {
        let store = store.clone();
        tokio::spawn(async move { store.append(batch(2)).await })
    };
    waiting(1).await;
    relay.hang_up();
    waiting(2).await;
    change.commit().await.unwrap();
    assert_eq!(appending.await.unwrap().unwrap(), Appended::default());
    let rows = ["policy policy-seeded 1", "admission admitted 1", "admission admitted 1"];
    assert_eq!(store.audit_for_tests().await, rows, "one row for each of two batches");
    store.append(batch(3)).await.unwrap();
    assert_eq!(store.audit_for_tests().await.len(), 4);
}

/// The database, by way of a relay from now on.
async fn by_relay(database: &mut Database) -> Relay {
    let StoreConfig::Postgres { url, .. } = &database.config else { unreachable!() };
    let relay = Relay::to(url).await;
    database.config = StoreConfig::Postgres { url: relay.url.clone(), hints: Hints::Off };
    relay
}

fn batch(id: u8) -> Batch {
    Batch { events: vec![event("admitted")], sessions: vec![session(id, 1, 5_000)] }
}

fn replica() -> ReplicaRow {
    ReplicaRow {
        id: [1; 16],
        name: "a".into(),
        started: UnixMs(1),
        seen: UnixMs(1),
        epoch: EMPTY,
        sessions: 0,
        tunnels: 0,
        load: Vec::new(),
        audit_key: "key".into(),
        stopped: None,
    }
}

/// Statements that wait for somebody's lock.
const WAITING: &str = "
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// What a caller has, as the policy's watcher has it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A quarter of an hour is what TCP would take.
const BOUND: Duration = Duration::from_secs(30);
