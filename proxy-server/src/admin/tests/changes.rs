//! Two administrators, repeated requests, and questions before acts.

use http::StatusCode;
use serde_json::{Value, json};

use super::rig::{Call, Rig, Setup, pcrs};

#[tokio::test]
async fn two_admins_do_not_overwrite_each_other() {
    let rig = Rig::start("overwrite").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 1).await;
    let path = "/v1/workloads/payments";
    let read = rig.call(Call::get(path).with(&admin)).await.expect(StatusCode::OK);
    assert_eq!(read.etag(), format!("\"{}\"", read.body["revision"]));
    let put =
        |destination: &str| Call::put(path).with(&admin).json(&json!({ "destinations": [destination] }));

    let first = rig.call(put("a.example:1").header("if-match", &read.etag())).await.expect(StatusCode::OK);
    assert_ne!(first.etag(), read.etag());
    let second =
        rig.call(put("b.example:1").header("if-match", &read.etag())).await.problem(412, "revision-mismatch");
    assert!(second.body["detail"].as_str().unwrap().contains("revision"), "{}", second.body);
    rig.call(put("b.example:1")).await.problem(428, "precondition-required");
    rig.call(put("b.example:1").header("if-none-match", "*")).await.problem(412, "already-there");
    rig.call(put("b.example:1").header("if-match", "*").header("if-none-match", "*"))
        .await
        .problem(412, "already-there");

    let now = rig.call(Call::get(path).with(&admin)).await.expect(StatusCode::OK);
    assert_eq!((now.body["destinations"].clone(), now.etag()), (json!(["a.example:1"]), first.etag()));
}

#[tokio::test]
async fn put_creates_only_what_is_not_there() {
    let rig = Rig::start("put").await;
    let admin = rig.admin().await;
    let rules = json!({ "destinations": ["KMS.example.:443"], "description": "for people" });
    let put = |path: &str| Call::put(path).with(&admin).json(&rules);
    rig.call(put("/v1/workloads/a").header("if-match", "*")).await.problem(404, "not-found");
    rig.call(put("/v1/workloads/a").header("if-match", "\"1\"")).await.problem(404, "not-found");
    let made =
        rig.call(put("/v1/workloads/a").header("if-none-match", "*")).await.expect(StatusCode::CREATED);
    assert_eq!(made.header("location"), "/v1/workloads/a");
    rig.call(put("/v1/workloads/b")).await.expect(StatusCode::CREATED);
    let shown = rig.call(Call::get("/v1/workloads/a").with(&admin)).await;
    assert_eq!(
        (&shown.body["destinations"], &shown.body["description"], &shown.body["origin"]),
        (&json!(["kms.example:443"]), &json!("for people"), &json!("api"))
    );
}

#[tokio::test]
async fn a_request_sent_twice_is_done_once() {
    let rig = Rig::start("twice").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 1).await;
    let add = |name: &str, byte| {
        Call::post("/v1/workloads/payments/measurements")
            .with(&admin)
            .header("idempotency-key", "release-2")
            .json(&json!({ "name": name, "pcrs": pcrs(byte) }))
    };
    let first = rig.call(add("v2", 2)).await.expect(StatusCode::CREATED);
    let again = rig.call(add("v2", 2)).await.expect(StatusCode::CREATED);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!((&again.body["epoch"], &again.body["replayed"]), (&first.body["epoch"], &json!(true)));
    rig.call(add("v3", 3)).await.problem(422, "idempotency-mismatch");
    // The key is its sender's: somebody else's is another.
    let other = rig.token("other", "admin", "*").await;
    let body = json!({ "name": "v3", "pcrs": pcrs(3) });
    let other = Call::post("/v1/workloads/payments/measurements")
        .with(&other)
        .header("idempotency-key", "release-2")
        .json(&body);
    rig.call(other).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let rig = Rig::start("dry").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 1).await;
    let before = rig.store.committed().await.unwrap();
    let body = json!({ "name": "v2", "pcrs": pcrs(2) });
    let add =
        |body: &Value| Call::post("/v1/workloads/payments/measurements?dry_run=true").with(&admin).json(body);
    let dry = rig.call(add(&body)).await.expect(StatusCode::OK);
    assert_eq!(
        (&dry.body["dry_run"], &dry.body["impact"]["words"]),
        (&json!(true), &json!("this change ends no session and cuts no tunnel"))
    );
    assert!(dry.headers.get("location").is_none() && dry.headers.get("etag").is_none());
    assert!(dry.body["warnings"][0].as_str().unwrap().contains("PCR3, 4, 8 or 16"), "{}", dry.body);
    // It finds what the change itself would.
    rig.call(add(&json!({ "name": "v2", "pcrs": pcrs(1) }))).await.problem(409, "same-pcrs");
    for path in [
        "/v1/workloads/payments?dry_run=true",
        "/v1/workloads/payments/measurements/v1?dry_run=true&reason=leak",
    ] {
        let dry =
            rig.call(Call::delete(path).with(&admin).header("if-match", "*")).await.expect(StatusCode::OK);
        assert_eq!(dry.body["impact"]["words"], "this revocation ends no session and cuts no tunnel");
    }
    assert_eq!(rig.store.committed().await.unwrap(), before);
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let rig = Rig::start("patch").await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 1).await;
    let path = "/v1/workloads/payments/measurements/v1";
    let patch = |tag: &str, body: Value| Call::patch(path).with(&admin).header("if-match", tag).json(&body);
    let read = rig.call(Call::get(path).with(&admin)).await;
    let labels = json!({ "team": "payments" });
    let first = rig
        .call(patch(&read.etag(), json!({ "version": "1.4.2", "labels": labels })))
        .await
        .expect(StatusCode::OK);
    rig.call(patch(&read.etag(), json!({ "version": "1.4.3" }))).await.problem(412, "revision-mismatch");
    let second = rig.call(patch(&first.etag(), json!({ "version": null }))).await.expect(StatusCode::OK);
    let shown = rig.call(Call::get(path).with(&admin)).await;
    assert_eq!(
        (shown.etag(), &shown.body["version"], &shown.body["labels"]),
        (second.etag(), &Value::Null, &labels)
    );
    let wrong = json!({ "not_before": "2030-01-01T00:00:00Z", "expires": "2029-01-01T00:00:00Z" });
    let wrong = rig.call(patch("*", wrong)).await.problem(422, "invalid");
    assert_eq!(wrong.body["field"], "expires");
    rig.call(patch("*", json!({ "pcrs": pcrs(2) }))).await.problem(422, "invalid");
}

#[tokio::test]
async fn lists_go_page_by_page() {
    let rig = Rig::start("pages").await;
    let admin = rig.admin().await;
    for name in ["a", "b", "c", "d", "e"] {
        let body = json!({ "name": name, "destinations": [] });
        rig.call(Call::post("/v1/workloads").with(&admin).json(&body)).await.expect(StatusCode::CREATED);
    }
    let (mut path, mut names, mut pages) = ("/v1/workloads?limit=2".to_owned(), Vec::new(), 0);
    loop {
        let page = rig.call(Call::get(&path).with(&admin)).await.expect(StatusCode::OK);
        names.extend(
            page.body["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["name"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        let Some(next) = page.body["next"].as_str() else {
            assert!(page.headers.get("link").is_none());
            break;
        };
        let link = page.header("link").to_owned();
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        assert_eq!(path, format!("/v1/workloads?limit=2&cursor={next}"));
        // A cursor of one list is none of another.
        rig.call(Call::get(&format!("/v1/sessions?cursor={next}")).with(&admin))
            .await
            .problem(400, "bad-cursor");
    }
    assert_eq!((names.join(""), pages), ("abcde".to_owned(), 3));
}

#[tokio::test]
async fn revoked_pcrs_come_back_only_when_their_tombstone_is_lifted() {
    let rig = Rig::with("tombstones", Setup::default()).await;
    let admin = rig.admin().await;
    rig.workload(&admin, "payments", 1).await;
    let measurement = "/v1/workloads/payments/measurements/v1";
    let revoked = rig
        .call(
            Call::delete(&format!("{measurement}?reason=key%20leaked")).with(&admin).header("if-match", "*"),
        )
        .await;
    revoked.expect(StatusCode::OK);
    rig.call(Call::delete(measurement).with(&admin).header("if-match", "*"))
        .await
        .problem(409, "already-revoked");
    let again = json!({ "name": "v2", "pcrs": pcrs(1) });
    let add = || Call::post("/v1/workloads/payments/measurements").with(&admin).json(&again);
    rig.call(add()).await.problem(409, "buried");

    let list = rig.call(Call::get("/v1/tombstones").with(&admin)).await.expect(StatusCode::OK);
    let tombstone = &list.body["items"][0];
    assert_eq!(
        (&tombstone["pcrs"], &tombstone["measurement"], &tombstone["reason"]),
        (&pcrs(1), &json!("v1"), &json!("key leaked"))
    );
    let path = format!("/v1/tombstones/{}", tombstone["id"].as_str().unwrap());
    rig.call(Call::delete(&path).with(&admin)).await.expect(StatusCode::OK);
    rig.call(Call::delete(&path).with(&admin)).await.problem(404, "not-found");
    rig.call(add()).await.expect(StatusCode::CREATED);
}
