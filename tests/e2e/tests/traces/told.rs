//! Metrics and logs of an enclave, and who may be told.

use countersign_e2e::{Collector, Proxy, Setup, Upstream, round_trip};

use crate::way::{Plan, Way, refused, tell};

#[tokio::test]
async fn figures_and_log_lines_leave_through_the_host_half() {
    let (collector, echo) = (Collector::start().await, Upstream::echo().await);
    let proxy = Proxy::start(Setup::to(&[echo])).await;
    let way = Way::start(Plan::gated(&collector, &proxy, &[echo])).await;
    let (mut tunnel, _) = way.connect(echo, "").await;
    round_trip(&mut tunnel, b"question").await;
    drop(tunnel);
    let (_refused, answer) = way.connect("192.0.2.1:9".parse().unwrap(), "").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    way.end().await;
    let told = collector.told();
    let enclave = |figure: &str| {
        let found = told.figures.iter().rfind(|(service, name, _)| {
            service == "countersign-enclave" && name == figure
        });
        found.unwrap_or_else(|| panic!("{figure}: {:#?}", told.figures)).2
    };
    let name = countersign_e2e::SERVER_NAME;
    for (figure, at_least) in [
        (format!("countersign.attestations{{countersign.proxy={name},countersign.result=admitted}}"), 1.0),
        (format!("countersign.session.lease_left{{countersign.proxy={name}}}"), 1.0),
        (format!("countersign.session.age{{countersign.proxy={name}}}"), 0.0),
        ("countersign.tunnels.opened{}".to_owned(), 1.0),
        ("countersign.tunnels{}".to_owned(), 0.0),
        ("countersign.tunnels.refused{error.type=destination-denied}".to_owned(), 1.0),
        ("countersign.tunnel.io{network.io.direction=transmit}".to_owned(), 8.0),
        ("countersign.tunnel.io{network.io.direction=receive}".to_owned(), 8.0),
    ] {
        assert!(enclave(&figure) >= at_least, "{figure}: {}", enclave(&figure));
    }
    let log = |service: &str, text: &str| {
        let found = told.logs.iter().any(|log| log.service == service && log.body.contains(text));
        assert!(found, "{service}: {text}: {:#?}", told.logs);
    };
    log("countersign-enclave", "refused: 192.0.2.1:9: no rule allows it");
    log("countersign-host", "connected");
    let opened = told.figures.iter().rfind(|(service, name, _)| {
        service == "countersign-host" && name == "countersign.tunnels.opened{}"
    });
    // Attestation, gateway, collector: at least these.
    assert!(opened.unwrap().2 >= 3.0, "{:#?}", told.figures);
}

/// A collector is a destination like any other, and the error says which line is missing.
#[tokio::test]
async fn a_collector_that_the_policy_does_not_allow_is_told_nothing() {
    let line = "add this line to egress.allow: - \"collector.example:4318\"";
    let manifest = "version: v1\negress: { proxy_port: 0 }\n";
    let (code, log) = refused(manifest, &tell("https://collector.example:4318"), &[]).await;
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains(line), "{log}");
    let named = format!("{manifest}telemetry: {{ endpoint: 'https://collector.example:4318' }}\n");
    let (code, log) = refused(&named, &[], &[]).await;
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains(line), "{log}");
    // The variable may be meant for the application alone: it runs.
    let variable = [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318")];
    let (code, log) = refused(manifest, &[], &variable).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("telemetry-denied") && log.contains(line), "{log}");
}
