//! Each code, by a request that has one defect.

use http::{Method, StatusCode};
use serde_json::json;

use super::rig::{Call, Rig, pcrs};

#[tokio::test]
async fn whoever_is_nobody_hears_nothing() {
    let rig = Rig::start("nobody").await;
    let reply = rig.call(Call::get("/v1/workloads")).await.problem(401, "no-credentials");
    assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"countersign\"");
    rig.call(Call::get("/v1/workloads/none")).await.problem(401, "no-credentials");
    rig.call(Call::get("/v1/whoami").with("cst_x")).await.problem(401, "token-mistyped");
    rig.call(Call::get("/v1/whoami").header("authorization", "Basic eDp5"))
        .await
        .problem(400, "authorization-malformed");
    for open in ["/healthz", "/readyz", "/openapi.json"] {
        rig.call(Call::get(open)).await.expect(StatusCode::OK);
    }
}

#[tokio::test]
async fn failed_logins_are_audited_and_slowed_down() {
    let rig = Rig::start("logins").await;
    let wrong = format!("{}X", &rig.admin().await[..51]);
    let throttled = loop {
        let reply = rig.call(Call::get("/v1/whoami").with(&wrong)).await;
        if reply.status != StatusCode::UNAUTHORIZED {
            break reply;
        }
    };
    let throttled = throttled.problem(429, "too-many-failures");
    assert!(throttled.header("retry-after").parse::<u64>().unwrap() >= 1);
    rig.audited("access token-mistyped").await;
}

#[tokio::test]
async fn every_answer_has_its_id_and_is_not_kept() {
    let rig = Rig::start("headers").await;
    let admin = rig.admin().await;
    for call in [Call::get("/healthz"), Call::get("/none"), Call::get("/v1/whoami").with(&admin)] {
        let reply = rig.call(call).await;
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("x-request-id").len().min(18), 18);
        assert!(reply.headers.get("access-control-allow-origin").is_none());
    }
}

#[tokio::test]
async fn a_request_with_one_defect_gets_its_code() {
    let rig = Rig::start("defects").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 1).await;
    let good = json!({ "name": "v2", "pcrs": pcrs(2) });
    let add = || Call::post("/v1/workloads/payments/measurements").with(&admin);
    let show = |query: &str| Call::get(&format!("/v1/measurements{query}")).with(&admin);
    for (call, status, code) in [
        (Call::get("/v2/x"), 404, "not-found"),
        (Call::get("/v1/workloads/none").with(&admin), 404, "not-found"),
        (Call::get("/v1/workloads/NONE").with(&admin), 404, "not-found"),
        (Call::get("/v1/workloads/%ff").with(&admin), 404, "not-found"),
        (Call::get("/v1/workloads/payments/measurements/none").with(&admin), 404, "not-found"),
        (Call::get("/v1/sessions/5d1f0a9cc4e1b7a25d1f0a9cc4e1b7a2").with(&admin), 404, "not-found"),
        (Call::get("/v1/sessions/x").with(&admin), 404, "not-found"),
        (Call::delete("/v1/tokens/5d1f0a9cc4e1b7a25d1f0a9cc4e1b7a2").with(&admin), 404, "not-found"),
        (Call::delete("/v1/tombstones/AAAA").with(&admin), 404, "not-found"),
        (Call::post("/v1/workloads/none/measurements").with(&admin).json(&good), 404, "not-found"),
        (Call::new(Method::PUT, "/v1/whoami").with(&admin), 405, "method-not-allowed"),
        (Call::post("/healthz"), 405, "method-not-allowed"),
        (show("?limit=0"), 400, "bad-query"),
        (show("?limit=1001"), 400, "bad-query"),
        (show("?limit=1&limit=2"), 400, "bad-query"),
        (show("?state=new"), 400, "bad-query"),
        (show("?statee=active"), 400, "bad-query"),
        (show("?pcr0=ab"), 400, "bad-query"),
        (show("?cursor=AAAAAAAA"), 400, "bad-cursor"),
        (Call::get("/v1/whoami?x=1").with(&admin), 400, "bad-query"),
        (add().text("{"), 400, "bad-json"),
        (add().text(""), 400, "bad-json"),
        (add().text("[]"), 422, "invalid"),
        (add().json(&json!({ "name": "v2" })), 422, "invalid"),
        (add().json(&json!({ "name": "V2", "pcrs": pcrs(2) })), 422, "invalid"),
        (add().json(&json!({ "name": "..", "pcrs": pcrs(2) })), 422, "invalid"),
        (add().json(&json!({ "name": "v2", "pcrs": pcrs(0) })), 422, "invalid"),
        (add().json(&json!({ "name": "v2", "pcrs": pcrs(2), "expires": "yesterday" })), 422, "invalid"),
        (add().json(&json!({ "name": "v2", "pcrs": pcrs(2), "labels": { "A": "x" } })), 422, "invalid"),
        (add().json(&good).header("idempotency-key", "a b"), 400, "bad-header"),
        (add().json(&good).header("idempotency-key", &"x".repeat(129)), 400, "bad-header"),
        (add().header("content-type", "text/plain"), 415, "not-json"),
        (add(), 415, "not-json"),
        (add().json(&json!({ "name": "v1", "pcrs": pcrs(2) })), 409, "exists"),
        (add().json(&json!({ "name": "v2", "pcrs": pcrs(1) })), 409, "same-pcrs"),
        (Call::post("/v1/workloads").with(&admin).json(&json!({ "name": "payments", "destinations": [] })), 409, "exists"),
        (Call::post("/v1/workloads").with(&admin).json(&json!({ "name": "x", "destinations": ["kms.example"] })), 422, "invalid"),
        (Call::post("/v1/workloads").with(&admin).json(&json!({ "name": "x", "destinations": [], "lease": { "min_seconds": 60, "max_seconds": 30 } })), 422, "invalid"),
        (Call::post("/v1/workloads").with(&admin).json(&json!({ "name": "x", "destinations": [], "limits": { "max_sessions": 0 } })), 422, "invalid"),
        (Call::delete("/v1/workloads/payments").with(&admin), 428, "precondition-required"),
        (Call::delete("/v1/workloads/payments").with(&admin).header("if-match", "1"), 400, "bad-header"),
        (Call::delete("/v1/workloads/payments").with(&admin).header("if-match", "W/\"1\""), 400, "bad-header"),
        (Call::delete("/v1/workloads/payments").with(&admin).header("if-match", "\"99\""), 412, "revision-mismatch"),
        (Call::post("/v1/revocations").with(&admin).json(&json!({})), 422, "invalid"),
        (Call::post("/v1/revocations").with(&admin).json(&json!({ "measurement": "v1" })), 422, "invalid"),
        (Call::post("/v1/revocations").with(&admin).json(&json!({ "workload": "payments", "pcrs": pcrs(1) })), 422, "invalid"),
        (Call::post("/v1/revocations?wait=11s").with(&admin).json(&json!({ "workload": "payments" })), 400, "bad-query"),
        (Call::post("/v1/explain").with(&admin).json(&json!({ "document": "!" })), 422, "invalid"),
        (Call::get("/v1/events").with(&admin).header("last-event-id", "!"), 400, "bad-header"),
        (Call::get("/v1/whoami").with(&admin).header("origin", "https://evil.example"), 403, "foreign-origin"),
        (Call::get("/v1/whoami").with(&admin).header("sec-fetch-site", "cross-site"), 403, "foreign-origin"),
        (Call::get("/healthz").header("origin", "null"), 403, "foreign-origin"),
    ] {
        let told = format!("{status} {code}");
        let reply = rig.call(call).await;
        assert_eq!(format!("{} {}", reply.status.as_u16(), reply.body["code"].as_str().unwrap_or_default()), told, "{}", reply.body);
        reply.problem(status, code);
    }
    assert_eq!(
        rig.store
            .measurements(
                &crate::store::Visible::Everything,
                &Default::default(),
                crate::store::Page { after: None, limit: 10 }
            )
            .await
            .unwrap()
            .rows
            .len(),
        1
    );
}

#[tokio::test]
async fn mistakes_are_told_where_they_are() {
    let rig = Rig::start("mistakes").await;
    let admin = rig.admin().await;
    let create = || Call::post("/v1/workloads").with(&admin);
    let detail = |reply: super::rig::Reply| reply.body["detail"].as_str().unwrap().to_owned();
    let unknown =
        rig.call(create().text("{\"name\": \"a\",\n \"destination\": []}")).await.problem(422, "invalid");
    let unknown = detail(unknown);
    assert!(unknown.contains("did you mean `destinations`?") && unknown.contains("line 2"), "{unknown}");
    let broken = detail(rig.call(create().text("{\"name\":\n}")).await.problem(400, "bad-json"));
    assert!(broken.contains("line 2 column 1"), "{broken}");
    let lease = json!({ "name": "a", "destinations": [], "lease": { "min_seconds": 1, "max_seconds": 60 } });
    let lease = rig.call(create().json(&lease)).await.problem(422, "invalid");
    assert_eq!(lease.body["field"], "lease.min_seconds");
    let query = detail(
        rig.call(Call::get("/v1/measurements?statte=active").with(&admin)).await.problem(400, "bad-query"),
    );
    assert!(query.contains("did you mean `state`?"), "{query}");
    let missing = rig.call(Call::put("/v1/whoami").with(&admin)).await.problem(405, "method-not-allowed");
    assert_eq!(missing.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn roles_bound_what_may_be_done() {
    let rig = Rig::start("roles").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 1).await;
    let new = json!({ "name": "other", "destinations": [] });
    let measurement = "/v1/workloads/payments/measurements/v1";
    let calls = |token: &str| {
        [
            ("read", Call::get(measurement).with(token)),
            ("read-audit", Call::get("/v1/audit").with(token)),
            (
                "revoke",
                Call::delete(&format!("{measurement}?dry_run=true")).with(token).header("if-match", "*"),
            ),
            ("change", Call::post("/v1/workloads?dry_run=true").with(token).json(&new)),
            (
                "approve",
                Call::post(&format!("{measurement}/approvals?dry_run=true"))
                    .with(token)
                    .header("if-match", "*"),
            ),
            ("manage-tokens", Call::get("/v1/tokens").with(token)),
        ]
    };
    for (role, may) in [
        ("viewer", &["read", "read-audit"][..]),
        ("operator", &["read", "read-audit", "revoke"]),
        ("approver", &["read", "read-audit", "approve"]),
        ("admin", &["read", "read-audit", "revoke", "change", "approve", "manage-tokens"]),
    ] {
        let token = rig.token(&format!("a {role}"), role, "*").await;
        for (permission, call) in calls(&token) {
            let reply = rig.call(call).await;
            let denied = reply.status == StatusCode::FORBIDDEN;
            assert_eq!(denied, !may.contains(&permission), "{role} {permission}: {}", reply.body);
            if denied {
                reply.problem(403, "role-missing");
            }
        }
    }
}
