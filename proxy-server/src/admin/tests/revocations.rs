//! Revocations that wait for replicas.

use countersign_protocol::Epoch;
use http::StatusCode;
use serde_json::{Value, json};

use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

use super::rig::{Call, Rig, pcrs};
use crate::store::{Load, ReplicaRow, UnixMs};

/// A replica as it says of itself, with tunnels of `payments/v1`.
fn replica(byte: u8, epoch: u64) -> ReplicaRow {
    let load =
        Load { workload: "payments".to_owned(), measurement: "v1".to_owned(), sessions: 1, tunnels: 206 };
    ReplicaRow {
        id: [byte; 16],
        name: format!("replica-{byte}"),
        started: UnixMs::now(),
        seen: UnixMs::now(),
        epoch: Epoch(epoch),
        sessions: 3,
        tunnels: 206,
        load: vec![load],
        audit_key: String::new(),
        stopped: None,
    }
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn it_is_answered_when_every_live_replica_has_cut() {
    let rig = Rig::start("wait").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 1).await;
    let before = rig.store.committed().await.unwrap().epoch.0;
    for byte in [1, 2] {
        rig.store.heartbeat(&replica(byte, before)).await.unwrap();
    }
    let mut stopped = replica(3, before);
    stopped.stopped = Some(UnixMs::now());
    rig.store.heartbeat(&stopped).await.unwrap();

    let dry = json!({ "workload": "payments", "measurement": "v1" });
    let dry = rig
        .call(Call::post("/v1/revocations?dry_run=true").with(&admin).json(&dry))
        .await
        .expect(StatusCode::OK);
    assert_eq!(dry.body["outcome"]["impact"]["tunnels"], 412);
    assert!(
        dry.body["outcome"]["impact"]["words"].as_str().unwrap().contains("cuts 412 tunnels on 2 replicas"),
        "{}",
        dry.body
    );
    assert_eq!(dry.body["acknowledged"], false);

    // Two replicas that hear of it a little later.
    let store = std::sync::Arc::clone(&rig.store);
    let hearing = tokio::spawn(async move {
        while store.committed().await.unwrap().epoch.0 == before {
            tokio::task::yield_now().await;
        }
        for byte in [1, 2] {
            store.heartbeat(&replica(byte, before + 1)).await.unwrap();
        }
    });
    let body = json!({ "workload": "payments", "measurement": "v1", "reason": "key leaked" });
    let reply = rig
        .call(Call::post("/v1/revocations?wait=10s").with(&admin).json(&body))
        .await
        .expect(StatusCode::CREATED);
    hearing.await.unwrap();
    assert_eq!(
        (&reply.body["acknowledged"], &reply.body["outcome"]["epoch"]),
        (&json!(true), &json!(before + 1))
    );
    assert_eq!(
        (names(&reply.body["cut"]), names(&reply.body["laggards"])),
        (vec!["replica-1", "replica-2"], vec![])
    );
}

#[tokio::test]
async fn a_replica_that_does_not_say_so_is_named() {
    let rig = Rig::start("laggard").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 1).await;
    let before = rig.store.committed().await.unwrap().epoch.0;
    rig.store.heartbeat(&replica(1, before + 1)).await.unwrap();
    rig.store.heartbeat(&replica(2, before)).await.unwrap();
    let body = json!({ "workload": "payments" });
    let reply = rig
        .call(Call::post("/v1/revocations?wait=1ms").with(&admin).json(&body))
        .await
        .expect(StatusCode::CREATED);
    assert_eq!(reply.body["acknowledged"], false);
    assert_eq!(
        (names(&reply.body["cut"]), names(&reply.body["laggards"])),
        (vec!["replica-1"], vec!["replica-2"])
    );
    let replicas = rig.call(Call::get("/v1/replicas").with(&admin)).await.expect(StatusCode::OK);
    assert_eq!(
        (names(&replicas.body["items"]).len(), &replicas.body["items"][0]["state"]),
        (2, &json!("live"))
    );
}

/// It is committed: that the store then says nothing more is no reason to answer that it failed.
#[tokio::test]
async fn a_revocation_stands_whatever_the_store_says_of_replicas() {
    let rig = Rig::start("unheard").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 1).await;
    let before = rig.store.committed().await.unwrap().epoch.0;
    rig.store.heartbeat(&replica(1, before + 1)).await.unwrap();
    // From the change's own audit row on, nobody can read what the replicas said.
    let file = SqliteConnectOptions::new().filename(rig.directory.join("countersign.db"));
    let broken = "CREATE TRIGGER broken AFTER INSERT ON audit BEGIN UPDATE replica SET load = 'none'; END";
    sqlx::query(broken).execute(&mut file.connect().await.unwrap()).await.unwrap();
    for (path, name) in [("/v1/revocations", "v1"), ("/v1/revocations?wait=1ms", "v2")] {
        if name == "v2" {
            let body = json!({ "name": name, "pcrs": pcrs(2) });
            rig.call(Call::post("/v1/workloads/payments/measurements").with(&admin).json(&body))
                .await
                .expect(StatusCode::CREATED);
            rig.store.heartbeat(&replica(1, before + 3)).await.unwrap();
        }
        let body = json!({ "workload": "payments", "measurement": name });
        let reply = rig.call(Call::post(path).with(&admin).json(&body)).await.expect(StatusCode::CREATED);
        assert_eq!(
            (&reply.body["acknowledged"], &reply.body["unheard"]),
            (&json!(false), &json!(true)),
            "{}",
            reply.body
        );
        let shown = rig
            .call(Call::get(&format!("/v1/workloads/payments/measurements/{name}")).with(&admin))
            .await
            .expect(StatusCode::OK);
        assert_eq!(shown.body["state"], "revoked", "{}", shown.body);
    }
}
