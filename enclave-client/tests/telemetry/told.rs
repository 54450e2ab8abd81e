//! Metrics and logs of an enclave, and who may be told.

use countersign_test_support::{Collector, Halves, Plan, refused};

use crate::{ENCLAVE, echo, echoed};

/// A collector is a destination like any other, and the error says which line is missing.
#[tokio::test]
async fn a_collector_that_the_policy_does_not_allow_is_told_nothing() {
    let line = "add this line to egress.allow: - \"collector.example:4318\"";
    let manifest = "version: v1\negress: { proxy_port: 0 }\n";
    let (code, log) = refused(
        ENCLAVE,
        manifest,
        &["--otlp-endpoint".to_owned(), "https://collector.example:4318".to_owned()],
        &[],
    )
    .await;
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains(line), "{log}");
    let named = format!("{manifest}telemetry: {{ endpoint: 'https://collector.example:4318' }}\n");
    let (code, log) = refused(ENCLAVE, &named, &[], &[]).await;
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains(line), "{log}");
    // The variable may be meant for the application alone: it runs.
    let variable = [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318")];
    let (code, log) = refused(ENCLAVE, manifest, &[], &variable).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("telemetry-denied") && log.contains(line), "{log}");
}

#[tokio::test]
async fn figures_and_log_lines_leave_through_the_host_half() {
    let ((collector, address), echo) = (Collector::start().await, echo().await);
    let way = Halves::start(Plan::direct(ENCLAVE, address, &[echo])).await;
    let (mut tunnel, _) = way.connect(echo, "").await;
    echoed(&mut tunnel, b"question").await;
    drop(tunnel);
    let (_refused, answer) = way.connect("192.0.2.1:9".parse().unwrap(), "").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    way.end().await;
    let told = collector.told().by_service;
    for (service, figure, at_least) in [
        ("countersign-enclave", "countersign.tunnels.opened{}", 1.0),
        ("countersign-enclave", "countersign.tunnels.refused{error.type=destination-denied}", 1.0),
        ("countersign-enclave", "countersign.tunnel.io{network.io.direction=transmit}", 8.0),
        ("countersign-enclave", "countersign.tunnel.io{network.io.direction=receive}", 8.0),
        // The tunnel, and the client's own connections to the collector.
        ("countersign-host", "countersign.tunnels.opened{}", 2.0),
    ] {
        let found = told.figures.iter().rfind(|(by, name, _)| (&**by, &**name) == (service, figure));
        assert!(found.is_some_and(|(.., value)| *value >= at_least), "{figure}: {:#?}", told.figures);
    }
    for (service, text) in [
        ("countersign-enclave", "refused: 192.0.2.1:9: no rule allows it"),
        ("countersign-host", "connected"),
    ] {
        let found = told.logs.iter().any(|log| log.service == service && log.body.contains(text));
        assert!(found, "{service}: {text}: {:#?}", told.logs);
    }
}
