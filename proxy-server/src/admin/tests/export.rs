//! The audit over the wire.

use http::StatusCode;
use serde_json::{Value, json};

use super::rig::{Call, Rig, Setup};
use crate::admin::AdminConfig;
use crate::audit::{Known, TrustedKeys, verify_export};

#[tokio::test]
async fn an_export_is_whole_and_a_cut_one_is_found() {
    let rig = Rig::start("export").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 1).await;
    let reply = rig.call(Call::get("/v1/audit/export").with(&admin)).await.expect(StatusCode::OK);
    assert_eq!(reply.header("content-type"), "application/jsonl");
    let text = reply.body.as_str().unwrap();
    let report = |text: &str| verify_export(text.as_bytes(), &TrustedKeys::new([]), &[] as &[Known]).unwrap();
    assert!(report(text).is_clean(), "{:?}", report(text));
    let lines: Vec<&str> = text.lines().collect();
    let rows = lines.iter().filter(|line| line.starts_with("{\"row\":")).count();
    let heads = rig.call(Call::get("/v1/audit/chains").with(&admin)).await.expect(StatusCode::OK);
    let expected: u64 =
        heads.body["items"].as_array().unwrap().iter().map(|chain| chain["seq"].as_u64().unwrap()).sum();
    assert_eq!(rows as u64, expected);
    let cut = lines[..lines.len() - 1].join("\n") + "\n";
    assert!(!report(&cut).is_clean());
}

/// An answer that nobody reads holds its rows: there are so many of them and no more.
#[tokio::test]
async fn exports_under_way_are_bounded_and_finished_ones_count_no_more() {
    for (exports, name) in [(0, "no-export"), (1, "one-export")] {
        let config = AdminConfig { exports, ..AdminConfig::default() };
        let rig = Rig::with(name, Setup { config, ..Setup::default() }).await;
        let admin = rig.admin().await;
        for _ in 0..2 {
            let reply = rig.call(Call::get("/v1/audit/export").with(&admin)).await;
            match exports {
                0 => drop(reply.problem(503, "overloaded")),
                _ => drop(reply.expect(StatusCode::OK)),
            }
        }
    }
}

#[tokio::test]
async fn the_audit_tells_who_did_what() {
    let rig = Rig::start("audit").await;
    let (admin, record) = rig.token_made("admin", "admin", "*").await;
    rig.workload(&admin, "payments", 1).await;
    let body = json!({ "workload": "payments", "measurement": "v1", "reason": "key leaked" });
    let revoked =
        rig.call(Call::post("/v1/revocations").with(&admin).json(&body)).await.expect(StatusCode::CREATED);
    let list = |query: &str| Call::get(&format!("/v1/audit?{query}")).with(&admin);
    let page = rig.call(list("kind=policy&workload=payments&limit=1")).await.expect(StatusCode::OK);
    let row = &page.body["items"][0];
    assert_eq!(
        (&row["actor"], &row["request_id"]),
        (&json!(format!("token:{}", record.id)), &json!(revoked.header("x-request-id")))
    );
    assert_eq!((&row["before"]["state"], &row["measurement"]), (&json!("active"), &json!("v1")), "{row}");
    assert_ne!(page.body["next"], Value::Null);
    let none = rig.call(list("kind=policy&workload=other")).await.expect(StatusCode::OK);
    assert_eq!(none.body["items"], json!([]));
}
