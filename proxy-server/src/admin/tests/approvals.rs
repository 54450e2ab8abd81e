//! What needs more than one person.

use http::StatusCode;
use serde_json::json;

use super::rig::{Call, Rig, Setup, pcrs};

const MEASUREMENT: &str = "/v1/workloads/payments/measurements/v1";

/// A workload of the author's with a pending measurement.
async fn pending(rig: &Rig, author: &str) -> String {
    let body = json!({ "name": "payments", "destinations": [] });
    rig.call(Call::post("/v1/workloads").with(author).json(&body)).await.expect(StatusCode::CREATED);
    let body = json!({ "name": "v1", "pcrs": pcrs(1) });
    let added = rig
        .call(Call::post("/v1/workloads/payments/measurements").with(author).json(&body))
        .await
        .expect(StatusCode::CREATED);
    assert_eq!(added.body["standing"]["state"], "waiting");
    rig.call(Call::get(MEASUREMENT).with(author)).await.expect(StatusCode::OK).etag()
}

#[tokio::test]
async fn nobody_approves_what_is_theirs_and_everybody_once() {
    let rig = Rig::with("approvals", Setup { approvals: 2, ..Setup::default() }).await;
    let author = rig.token("author", "admin", "*").await;
    let (one, two) = (rig.token("one", "approver", "*").await, rig.token("two", "approver", "*").await);
    let tag = pending(&rig, &author).await;
    let approve = |token: &str, tag: &str| {
        Call::post(&format!("{MEASUREMENT}/approvals")).with(token).header("if-match", tag)
    };

    rig.call(approve(&author, &tag)).await.problem(409, "own-approval");
    rig.call(Call::post(&format!("{MEASUREMENT}/approvals")).with(&one))
        .await
        .problem(428, "precondition-required");
    rig.call(approve(&one, "\"999\"")).await.problem(412, "revision-mismatch");
    let first = rig.call(approve(&one, &tag)).await.expect(StatusCode::OK);
    assert_eq!(first.body["standing"], json!({ "state": "waiting", "approvals": 1, "needed": 2 }));
    rig.call(approve(&one, "*")).await.problem(409, "already-approved");
    let second = rig.call(approve(&two, "*")).await.expect(StatusCode::OK);
    assert_eq!(second.body["standing"], json!({ "state": "in-force" }));
    rig.call(approve(&two, "*")).await.problem(409, "nothing-waits");
    let shown = rig.call(Call::get(MEASUREMENT).with(&one)).await;
    assert_eq!(shown.body["state"], "active");
}

/// A token that the caller makes for himself.
async fn spare(rig: &Rig, token: &str) -> String {
    let new = json!({ "name": "spare", "roles": ["admin"], "lives_seconds": 600 });
    let made = rig.call(Call::post("/v1/tokens").with(token).json(&new)).await.expect(StatusCode::CREATED);
    made.body["secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_second_token_is_no_second_approver() {
    let rig = Rig::with("approvers", Setup { approvals: 2, ..Setup::default() }).await;
    let (author, one) = (rig.token("author", "admin", "*").await, rig.token("one", "admin", "*").await);
    let ones = spare(&rig, &one).await;
    pending(&rig, &author).await;
    let approve =
        |token: &str| Call::post(&format!("{MEASUREMENT}/approvals")).with(token).header("if-match", "*");
    rig.call(approve(&ones)).await.expect(StatusCode::OK);
    rig.call(approve(&one)).await.problem(409, "already-approved");
    let body = json!({ "destinations": ["a.example:443"] });
    let put = Call::put("/v1/workloads/payments").with(&author).header("if-match", "*").json(&body);
    assert_eq!(rig.call(put).await.expect(StatusCode::OK).body["standing"]["state"], "waiting");
    let approve =
        |token: &str| Call::post("/v1/workloads/payments/approvals").with(token).header("if-match", "*");
    rig.call(approve(&one)).await.expect(StatusCode::OK);
    rig.call(approve(&ones)).await.problem(409, "already-approved");
    rig.call(approve(&author)).await.problem(409, "own-approval");
}

/// Who edits what waits is an author of it, with whichever token.
#[tokio::test]
async fn an_edit_with_a_second_token_is_ones_own() {
    let rig = Rig::with("editors", Setup { approvals: 1, ..Setup::default() }).await;
    let (author, one) = (rig.token("author", "admin", "*").await, rig.token("one", "admin", "*").await);
    let ones = spare(&rig, &one).await;
    pending(&rig, &author).await;
    let patch = json!({ "version": "2" });
    let edit = Call::patch(MEASUREMENT).with(&ones).header("if-match", "*").json(&patch);
    rig.call(edit).await.expect(StatusCode::OK);
    let approve =
        |token: &str| Call::post(&format!("{MEASUREMENT}/approvals")).with(token).header("if-match", "*");
    rig.call(approve(&one)).await.problem(409, "own-approval");
    let two = rig.token("two", "approver", "*").await;
    rig.call(approve(&two)).await.expect(StatusCode::OK);
    // And what one revoked with the one, one does not let back in with the other.
    rig.call(Call::delete(MEASUREMENT).with(&ones).header("if-match", "*")).await.expect(StatusCode::OK);
    let listed = rig.call(Call::get("/v1/tombstones").with(&one)).await.expect(StatusCode::OK);
    let tombstone = format!("/v1/tombstones/{}", listed.body["items"][0]["id"].as_str().unwrap());
    rig.call(Call::delete(&tombstone).with(&one)).await.problem(409, "own-approval");
    rig.call(Call::delete(&tombstone).with(&author)).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_second_token_makes_no_second_person() {
    let rig = Rig::with("hands", Setup { approvals: 1, ..Setup::default() }).await;
    let author = rig.token("author", "admin", "*").await;
    let spare = &spare(&rig, &author).await;
    let approve =
        |token: &str| Call::post(&format!("{MEASUREMENT}/approvals")).with(token).header("if-match", "*");

    pending(&rig, &author).await;
    rig.call(approve(spare)).await.problem(409, "own-approval");
    // Nor the other way round: written with the spare token, approved with the author's own.
    rig.call(Call::delete(&format!("{MEASUREMENT}/approvals")).with(&author).header("if-match", "*"))
        .await
        .expect(StatusCode::OK);
    let body = json!({ "name": "v2", "pcrs": pcrs(2) });
    rig.call(Call::post("/v1/workloads/payments/measurements").with(spare).json(&body))
        .await
        .expect(StatusCode::CREATED);
    let second = "/v1/workloads/payments/measurements/v2/approvals";
    rig.call(Call::post(second).with(&author).header("if-match", "*")).await.problem(409, "own-approval");
    let somebody = rig.token("somebody", "approver", "*").await;
    rig.call(Call::post(second).with(&somebody).header("if-match", "*")).await.expect(StatusCode::OK);
}
