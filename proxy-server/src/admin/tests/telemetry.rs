//! What the port tells of the process.

use std::time::Duration;

use http::StatusCode;

use super::rig::{Call, Rig};
use crate::telemetry::Decision;

#[tokio::test]
async fn figures_are_for_whoever_may_read_everything() {
    let rig = Rig::start("metrics").await;
    let all = rig.token("scraper", "viewer", "*").await;
    let some = rig.token("team", "admin", "payments").await;

    rig.call(Call::get("/metrics")).await.problem(401, "no-credentials");
    rig.call(Call::get("/metrics").with(&some)).await.problem(403, "installation-wide");

    rig.telemetry.metrics.attestation.decided(Decision::Refused("pcr-mismatch"), Duration::from_millis(3));
    rig.telemetry.metrics.gateway.moved(7, 11);
    let answer = rig.call(Call::get("/metrics").with(&all)).await.expect(StatusCode::OK);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.body.as_str().unwrap();
    for line in [
        "countersign_attestations_total{result=\"refused\"} 1",
        "countersign_attestation_refusals_total{code=\"pcr-mismatch\"} 1",
        "countersign_attestation_duration_seconds_bucket{le=\"0.004\",result=\"refused\"} 1",
        "countersign_tunnel_bytes_total{direction=\"up\"} 7",
        "countersign_tunnel_bytes_total{direction=\"down\"} 11",
        "countersign_check{check=\"clock\"} 1.0",
        "countersign_state{state=\"ready\"} 1.0",
        "countersign_admin_requests_total{status=\"4xx\"} 2",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn readiness_names_what_fails() {
    let rig = Rig::start("ready").await;
    rig.call(Call::get("/readyz")).await.expect(StatusCode::OK);
    rig.draining.cancel();
    rig.call(Call::get("/readyz")).await.problem(503, "draining");
    // It lives, and is not to be killed.
    rig.call(Call::get("/healthz")).await.expect(StatusCode::OK);
    let token = rig.token("viewer", "viewer", "*").await;
    let status = rig.call(Call::get("/v1/status").with(&token)).await.expect(StatusCode::OK).body;
    assert_eq!(status["state"], "draining");
    assert_eq!(status["checks"][0]["name"], "store");
    assert_eq!(status["checks"][0]["passed"], true);
}
