//! What only a server can do to its clients.

use std::time::Duration;

use countersign_test_support::{Durability, PostgresServer};
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use tokio::time::timeout;

use super::{
    database::Database,
    make::{add, done, event, put, request, session, spec},
    sessions,
};
use crate::{
    config::{Hints, MeasurementState::Active},
    store::*,
};

#[tokio::test]
async fn any_number_of_replicas_may_start_at_once() {
    let Some(database) = Database::postgres("at-once") else { return };
    let config = database.config.clone();
    let starts = (0..6).map(|_| {
        let config = config.clone();
        tokio::spawn(async move { open(&config, AuditWriter::unnamed(), Missing::Make).await.map(drop) })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn who_only_looks_makes_no_store() {
    let Some(database) = Database::postgres("absent") else { return };
    let error = open(&database.config, AuditWriter::unnamed(), Missing::Fail).await.map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Absent { .. }), "{error:?}");
    assert!(open(&database.config, AuditWriter::unnamed(), Missing::Fail).await.is_err(), "and made none");
    drop(database.open().await);
    open(&database.config, AuditWriter::unnamed(), Missing::Fail).await.unwrap();
}

#[tokio::test]
async fn a_change_elsewhere_is_told_at_once_and_a_rolled_back_one_is_not() {
    let Some(database) = Database::postgres("hints") else { return };
    let (here, there) = (database.open().await, database.open().await);
    let mut hints = here.hints().unwrap();
    // The first one says that there is a connection.
    timeout(PATIENCE, hints.wait_for(|count| *count > 0)).await.unwrap().unwrap();
    hints.mark_unchanged();
    done(&there, request("ann", put("a", &[]), 1)).await;
    timeout(PATIENCE, hints.changed()).await.expect("a hint").unwrap();
    let before = *hints.borrow_and_update();
    let dry = ChangeRequest { mode: Mode::DryRun, ..request("ann", put("b", &[]), 1) };
    done(&there, dry).await;
    done(&there, request("ann", put("b", &[]), 1)).await;
    timeout(PATIENCE, hints.changed()).await.expect("a hint").unwrap();
    assert_eq!(*hints.borrow_and_update(), before + 1, "one for two, since one was not made");
}

#[tokio::test]
async fn a_connection_that_died_costs_no_row_and_writes_none_twice() {
    let Some(database) = Database::postgres("died") else { return };
    let store = database.open().await;
    store.seed(&[spec("a", &[("v1", 1, Active)])], UnixMs(1)).await.unwrap();
    let batch = |n| Batch { events: vec![event("admitted")], sessions: vec![session(n, 1, 5_000)] };
    let StoreConfig::Postgres { url, .. } = &database.config else { unreachable!() };
    for n in 1..=5 {
        store.append(batch(n)).await.unwrap();
        PostgresServer::shared().unwrap().sql(
            url,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
    store.append(batch(6)).await.unwrap();
    assert_eq!(store.audit_for_tests().await.len(), 7);
    assert_eq!(store.sessions(UnixMs(0)).await.unwrap().len(), 6);
}

/// A transaction that begins for nobody would have the connection's next user inside of it:
/// what that one writes is never committed, and what it reads stays as it is now.
#[tokio::test]
async fn whoever_gives_up_leaves_no_transaction_open() {
    let Some(database) = Database::postgres("given-up") else { return };
    let store = sessions::seeded(&database).await;
    for _ in 0..10 {
        let mut patience = 0;
        while !sessions::give_up(store.load(), patience).await {
            assert_eq!(store.isolation_for_tests().await, ["read committed"; 4], "after {patience} looks");
            patience += 1;
        }
    }
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_loses_nothing_it_promised() {
    let Some(server) = PostgresServer::start(Durability::Disk) else { return };
    let config = StoreConfig::Postgres { url: server.database(), hints: Hints::Listen };
    let database = Database { config, directory: std::env::temp_dir().join("countersign-unused") };
    let store = database.open().await;
    done(&store, request("ann", put("a", &[]), 1)).await;
    let mut promised = 1;
    for round in 1..=3u8 {
        let writing = {
            let store = store.clone();
            tokio::spawn(async move {
                let mut last = 0;
                for byte in 0..=255u8 {
                    let set = super::make::pinned(byte.max(1), &[(8, round), (9, byte)]);
                    match store.change(request("ann", add("a", &format!("v{round}.{byte}"), set), 2)).await {
                        Ok(changed) => last = changed.committed.epoch.0,
                        Err(_) => break,
                    }
                }
                last
            })
        };
        let epoch = store.committed().await.unwrap().epoch;
        while store.committed().await.is_ok_and(|now| now.epoch.0 < epoch.0 + 5) {
            tokio::task::yield_now().await;
        }
        server.kill();
        promised = writing.await.unwrap().max(promised);
        assert!(store.committed().await.is_err());
        server.resume();
        // The pools notice by themselves, one connection after the other.
        let answer = async {
            loop {
                if let Ok(committed) = store.committed().await {
                    return committed.epoch.0;
                }
                tokio::task::yield_now().await;
            }
        };
        let found = timeout(PATIENCE, answer).await.unwrap();
        assert!(found >= promised, "epoch {found}, and {promised} was answered");
        let rows = store.chain_rows("policy", 0, 2_000).await.unwrap();
        assert_eq!(
            rows.iter().map(|row| row.event.epoch.0).collect::<Vec<_>>(),
            (1..=found).collect::<Vec<_>>()
        );
        assert_eq!(store.load().await.unwrap().measurements.len() as u64, found - 1);
    }
}

#[tokio::test]
async fn both_databases_have_the_same_columns() {
    let Some(database) = Database::postgres("columns") else { return };
    drop(database.open().await);
    let StoreConfig::Postgres { url, .. } = &database.config else { unreachable!() };
    let there = PostgresServer::shared().unwrap().sql(
        url,
        "SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '%sqlx%'
         ORDER BY 1",
    );
    let there: Vec<_> = there.lines().map(str::to_owned).collect();
    let file = Database::sqlite("columns");
    drop(file.open().await);
    let options = SqliteConnectOptions::new().filename(file.directory.join("countersign.db"));
    let mut connection = options.connect().await.unwrap();
    let here = sqlx::query_scalar::<_, String>(
        "SELECT t.name || '.' || c.name || ' ' ||
                CASE c.type WHEN 'INTEGER' THEN 'bigint' WHEN 'TEXT' THEN 'text' WHEN 'BLOB' THEN 'bytea' END || ' ' ||
                CASE WHEN c.\"notnull\" OR c.pk THEN 'NO' ELSE 'YES' END
         FROM sqlite_schema t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT LIKE '%sqlx%' ORDER BY 1",
    );
    let mut here = here.fetch_all(&mut connection).await.unwrap();
    here.sort_unstable();
    let mut there = there;
    there.sort_unstable();
    assert!(here.len() > 80, "{here:?}");
    assert_eq!(here, there);
}

/// Far more than any of it takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A pooler may not let LISTEN through: then nobody asks it to.
#[tokio::test]
async fn without_hints_nobody_listens() {
    let Some(server) = PostgresServer::start(Durability::Test) else { return };
    let config = StoreConfig::Postgres { url: server.database(), hints: Hints::Off };
    let store = SqlStore::open(&config, AuditWriter::unnamed(), Missing::Make).await.unwrap();
    assert!(store.hints().is_none());
    assert_eq!(store.committed().await.unwrap().epoch, EMPTY);
}
