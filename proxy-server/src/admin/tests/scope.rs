//! Two teams on one proxy: neither may learn anything of the other.

use std::collections::BTreeSet;

use countersign_protocol::{BootId, Epoch, KeyThumbprint, Lease, SessionId};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::rig::{Call, Rig, pcrs};
use crate::{
    admin::openapi,
    store::{Batch, SessionRow, UnixMs},
};

/// A live session of this workload.
async fn session(rig: &Rig, workload: &str, byte: u8) -> SessionId {
    let id = SessionId::from_bytes([byte; 16]);
    let now = UnixMs::now();
    let row = SessionRow {
        id,
        key: KeyThumbprint::from_bytes([byte; 32]),
        workload: workload.to_owned(),
        measurement: "v1".to_owned(),
        boot_id: BootId::from_bytes([byte; 16]),
        sequence: 1,
        lease: Lease::MAX,
        lease_ends: UnixMs(now.0 + 600_000),
        epoch: Epoch(rig.store.committed().await.unwrap().epoch.0),
        module_id: None,
        replica: None,
        admitted: now,
    };
    rig.store.append(Batch { events: Vec::new(), sessions: vec![row] }).await.unwrap();
    id
}

/// What each path parameter is of team a's.
fn place(path: &str, session: SessionId, token: &str, tombstone: &str) -> String {
    path.replace("{workload}", "team-a")
        .replace("{measurement}", "v1")
        .replace("{session}", &session.to_string())
        .replace("{token}", token)
        .replace("{tombstone}", tombstone)
}

/// A body that would do, for each operation that takes one.
fn body(method: &Method, path: &str) -> Option<Value> {
    match (method.as_str(), path) {
        ("POST", "/v1/workloads") => Some(json!({ "name": "team-a", "destinations": [] })),
        ("PUT", "/v1/workloads/{workload}") => Some(json!({ "destinations": [] })),
        ("POST", "/v1/workloads/{workload}/measurements") => Some(json!({ "name": "v9", "pcrs": pcrs(9) })),
        ("PATCH", "/v1/workloads/{workload}/measurements/{measurement}") => Some(json!({ "version": "9" })),
        ("POST", "/v1/revocations") => Some(json!({ "workload": "team-a" })),
        ("POST", "/v1/explain") => Some(json!({ "document": "" })),
        ("POST", "/v1/tokens") => {
            Some(json!({ "name": "n", "roles": ["viewer"], "workloads": ["team-a"], "lives_seconds": 600 }))
        }
        _ => None,
    }
}

#[tokio::test]
async fn two_teams_do_not_see_each_other() {
    let rig = Rig::start("teams").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "team-a", 1).await;
    rig.workload(&admin, "team-b", 2).await;
    let body_of_retired = json!({ "name": "retired", "pcrs": pcrs(3) });
    rig.call(Call::post("/v1/workloads/team-a/measurements").with(&admin).json(&body_of_retired))
        .await
        .expect(StatusCode::CREATED);
    let revoke = json!({ "workload": "team-a", "measurement": "retired", "reason": "secret of team-a" });
    rig.call(Call::post("/v1/revocations").with(&admin).json(&revoke)).await.expect(StatusCode::CREATED);
    let tombstones = rig.call(Call::get("/v1/tombstones").with(&admin)).await;
    let tombstone = tombstones.body["items"][0]["id"].as_str().unwrap().to_owned();
    let of_a = session(&rig, "team-a", 0xa1).await;
    let of_b = session(&rig, "team-b", 0xb1).await;
    rig.enforce().await;
    let (team_a, record) = rig.token_made("token of team-a", "admin", "team-a").await;
    let team_b = rig.token("token of team-b", "admin", "team-b").await;
    let before = rig.store.committed().await.unwrap();

    let mut asked = BTreeSet::new();
    let document = serde_json::to_value(openapi()).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if item[method.as_str().to_lowercase()].is_null()
                || path == "/v1/events"
                || !path.starts_with("/v1")
            {
                continue;
            }
            asked.insert(format!("{method} {path}"));
            let concrete = place(path, of_a, &record.id.to_string(), &tombstone);
            let mut call = Call::new(method.clone(), &concrete).with(&team_b);
            if let Some(body) = body(&method, path) {
                call = call.json(&body);
            }
            if item[method.as_str().to_lowercase()]["parameters"].to_string().contains("If-Match") {
                call = call.header("if-match", "*");
            }
            let reply = rig.call(call).await;
            let text = reply.body.to_string();
            let named = path.contains('{')
                || ["POST /v1/workloads", "POST /v1/revocations", "POST /v1/tokens"]
                    .contains(&&*format!("{method} {path}"));
            if named {
                let reply = reply.problem(404, "not-found");
                // The words are those for what nobody has: the name in them is the caller's own.
                let detail = reply.body["detail"].as_str().unwrap();
                assert!(detail.starts_with("there is no "), "{method} {path}: {detail}");
                assert!(reply.body["known"].is_null(), "{method} {path}: {text}");
            } else if ["/v1/replicas", "/v1/status", "/v1/audit/chains", "/v1/audit/export"]
                .contains(&&**path)
            {
                reply.problem(403, "installation-wide");
            } else {
                assert_eq!(reply.status, StatusCode::OK, "{method} {path}: {text}");
                assert!(!text.contains("team-a"), "{method} {path}: {text}");
                assert!(!text.contains(&of_a.to_string()), "{method} {path}: {text}");
            }
        }
    }
    assert!(asked.len() >= 24, "every route was asked: {asked:?}");
    assert_eq!(rig.store.committed().await.unwrap(), before, "and nothing was changed");

    // The same questions by those whose it is.
    for path in
        ["/v1/workloads/team-a", "/v1/workloads/team-a/measurements/v1", &format!("/v1/sessions/{of_a}")]
    {
        rig.call(Call::get(path).with(&team_a)).await.expect(StatusCode::OK);
    }
    let mine = rig.call(Call::get("/v1/sessions").with(&team_b)).await;
    assert_eq!(mine.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(mine.body["items"][0]["id"], of_b.to_string());
}

#[tokio::test]
async fn a_clash_says_that_it_is_one_and_not_whose() {
    let rig = Rig::start("clash").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "team-a", 1).await;
    rig.workload(&admin, "team-b", 2).await;
    let team_b = rig.token("team-b", "admin", "team-b").await;
    let add = |token: &str| {
        Call::post("/v1/workloads/team-b/measurements")
            .with(token)
            .json(&json!({ "name": "v2", "pcrs": pcrs(1) }))
    };
    let told = rig.call(add(&admin)).await.problem(409, "overlaps");
    assert!(told.body["detail"].as_str().unwrap().contains("team-a/v1"), "{}", told.body);
    let hidden = rig.call(add(&team_b)).await.problem(409, "overlaps");
    assert!(!hidden.body.to_string().contains("team-a"), "{}", hidden.body);

    rig.call(
        Call::post("/v1/revocations")
            .with(&admin)
            .json(&json!({ "workload": "team-a", "measurement": "v1" })),
    )
    .await
    .expect(StatusCode::CREATED);
    let hidden = rig.call(add(&team_b)).await.problem(409, "buried");
    assert!(!hidden.body.to_string().contains("team-a"), "{}", hidden.body);
}

#[tokio::test]
async fn pcrs_alone_are_revoked_by_those_who_may_everywhere() {
    let rig = Rig::start("everywhere").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "team-a", 1).await;
    let team_b = rig.token("team-b", "operator", "team-b").await;
    let call = |token: &str| Call::post("/v1/revocations").with(token).json(&json!({ "pcrs": pcrs(1) }));
    rig.call(call(&team_b)).await.problem(403, "installation-wide");
    rig.call(call(&admin)).await.expect(StatusCode::CREATED);
}
