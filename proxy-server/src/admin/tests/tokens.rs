//! Tokens that are made, shown once and revoked over the API.

use http::StatusCode;
use serde_json::json;

use super::rig::{Call, Rig};

#[tokio::test]
async fn a_token_is_shown_once_and_ends_at_once() {
    let rig = Rig::start("token").await;
    let admin = rig.admin().await;
    let new = json!({ "name": "ci", "roles": ["viewer", "operator"], "workloads": ["payments"], "lives_seconds": 600 });
    let made = rig.call(Call::post("/v1/tokens").with(&admin).json(&new)).await.expect(StatusCode::CREATED);
    let secret = made.body["secret"].as_str().unwrap();
    let id = made.body["token"]["id"].as_str().unwrap();
    assert_eq!(made.header("location"), format!("/v1/tokens/{id}"));
    let who = rig.call(Call::get("/v1/whoami").with(secret)).await.expect(StatusCode::OK);
    let permissions = json!(["read", "read-audit", "revoke", "end-session"]);
    assert_eq!(
        who.body,
        json!({ "subject": format!("token:{id}"), "roles": ["viewer", "operator"], "permissions": permissions, "workloads": ["payments"] })
    );

    let list = rig.call(Call::get("/v1/tokens").with(&admin)).await.expect(StatusCode::OK);
    assert_eq!(list.body["items"].as_array().unwrap().len(), 2);
    assert!(!list.body.to_string().contains(&secret[4..]), "only once");
    rig.call(Call::post("/v1/tokens").with(&admin).json(&new)).await.problem(409, "exists");

    let gone =
        rig.call(Call::delete(&format!("/v1/tokens/{id}")).with(&admin)).await.expect(StatusCode::NO_CONTENT);
    assert!(gone.body.is_null());
    rig.call(Call::get("/v1/whoami").with(secret)).await.problem(401, "token-revoked");
    rig.call(Call::delete(&format!("/v1/tokens/{id}")).with(&admin)).await.problem(409, "already-revoked");
}

#[tokio::test]
async fn nobody_gives_away_what_he_has_not() {
    let rig = Rig::start("grant").await;
    let team = rig.token("team", "admin", "payments").await;
    let make = |roles: &[&str], workloads: Option<&[&str]>| {
        Call::post("/v1/tokens")
            .with(&team)
            .json(&json!({ "name": "n", "roles": roles, "workloads": workloads, "lives_seconds": 600 }))
    };
    rig.call(make(&["viewer"], None)).await.problem(403, "installation-wide");
    rig.call(make(&["viewer"], Some(&["payments", "other"]))).await.problem(404, "not-found");
    for (body, field) in [
        (json!({ "name": "n", "roles": [], "workloads": ["payments"], "lives_seconds": 600 }), "roles"),
        (json!({ "name": "n", "roles": ["viewer"], "workloads": [], "lives_seconds": 600 }), "workloads"),
        (
            json!({ "name": "n", "roles": ["viewer"], "workloads": ["payments"], "lives_seconds": 59 }),
            "lives_seconds",
        ),
    ] {
        let reply = rig.call(Call::post("/v1/tokens").with(&team).json(&body)).await.problem(422, "invalid");
        assert_eq!(reply.body["field"], field);
    }
    rig.call(make(&["admin"], Some(&["payments"]))).await.expect(StatusCode::CREATED);
}
