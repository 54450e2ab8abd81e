//! One trace from the application through client, host half and proxy, and what of it reaches a collector: real
//! programs, real sockets (a UNIX socket stands for vsock), and OTLP read with OpenTelemetry's own messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use countersign_e2e::{Proxy, SERVER_NAME, Setup, Upstream, round_trip};
use countersign_test_support::{Collector, Halves, Plan, ToldSpan};

const PROXY: &str = env!("CARGO_BIN_EXE_e2e-proxy");
const ENCLAVE: &str = env!("CARGO_BIN_EXE_e2e-enclave");

const CLIENT: &str = "countersign-enclave";
const HOST: &str = "countersign-host";

/// The application's own span.
const PARENT: &str = "b7ad6b7169203331";

/// A trace of its own for each number.
fn trace(number: u32) -> String {
    format!("0af7651916cd43dd8448eb21{number:08x}")
}

fn traceparent(trace: &str) -> String {
    format!("traceparent: 00-{trace}-{PARENT}-01\r\n")
}

/// A destination behind the proxy, reached by an enclave that attests in software; both halves tell the collector.
fn gated(collector: std::net::SocketAddr, proxy: &Proxy, to: std::net::SocketAddr) -> Plan {
    let anchor = proxy.directory().join("server.pem");
    let (attestation, gateway) = (proxy.attestation, proxy.gateway);
    let connection = format!(
        "outboundConnections:\n  - type: proxy\n    fqdn: \"{}\"\n    port: {}\n    proxyUrl: https://{SERVER_NAME}:8443\n    \
         proxyAnchorFile: {}\n    transport:\n      attestation: tcp:{attestation}\n      gateway: tcp:{gateway}\n",
        to.ip(),
        to.port(),
        anchor.display()
    );
    let direct = Plan::direct(ENCLAVE, collector, &[]);
    let root = proxy.root_directory().display().to_string();
    let client_flags = ["--danger-image", "payments-1.0", "--danger-software-nsm", &root];
    Plan {
        manifest: format!("{}{connection}", direct.manifest),
        client_flags: client_flags.map(str::to_owned).to_vec(),
        ..direct
    }
}

fn has(span: &ToldSpan, pair: &str) -> bool {
    span.attributes.iter().any(|attribute| attribute == pair)
}

/// Application ─► client ─► host half, and client ─► proxy ─► upstream. A request finds connections to the gateway that
/// were opened ahead, and the host half then has no part in it; so they are taken away first.
#[tokio::test]
async fn one_trace_through_client_host_half_and_proxy() {
    let ((collector, address), echo) = (Collector::start().await, Upstream::echo().await);
    let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))];
    let proxy = Proxy::program(Setup { environment, ..Setup::to(&[echo]) }, PROXY).await;
    let mut way = Halves::start(gated(address, &proxy, echo)).await;
    let mut number = 0;
    let client = loop {
        number += 1;
        // In the moment before the request the pool may have begun to fill again.
        assert!(number < 20, "no request found the pool empty");
        way.restart_host().await;
        let (mut tunnel, answer) = way.connect(echo, &traceparent(&trace(number))).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        round_trip(&mut tunnel, b"question").await;
        drop(tunnel);
        let client = collector.span(CLIENT, "CONNECT", &trace(number)).await;
        if has(&client, "countersign.gateway.connection=new") {
            break client;
        }
    };
    assert_eq!(client.parent, PARENT);
    assert!(has(&client, "countersign.route=proxy"), "{client:#?}");
    let trace = trace(number);
    let gateway = collector.span("countersign-proxy", "CONNECT", &trace).await;
    assert_eq!(gateway.parent, client.id);
    // The host half carries that connection on until the client gives it up with the tunnel.
    let host = collector.span(HOST, "dial", &trace).await;
    assert_eq!(host.parent, client.id);
    assert!(has(&host, &format!("server.port={}", proxy.gateway.port())), "{host:#?}");
    // Nobody else took part, and each span's parent is there.
    let told = collector.told().by_service;
    let spans: Vec<_> = told.spans.iter().filter(|span| span.trace == trace).collect();
    for span in &spans {
        let known = span.parent == PARENT || spans.iter().any(|other| other.id == span.parent);
        assert!(known, "{span:#?}");
    }
}

/// Over HTTP/2 as well: the second and later tunnels of a client run on a standing connection.
#[tokio::test]
async fn tunnels_on_standing_connections_carry_the_trace_to_the_proxy() {
    let ((collector, address), echo) = (Collector::start().await, Upstream::echo().await);
    let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))];
    let proxy = Proxy::program(Setup { environment, ..Setup::to(&[echo]) }, PROXY).await;
    let way = Halves::start(gated(address, &proxy, echo)).await;
    let mut kinds = std::collections::BTreeSet::new();
    let mut number = 100;
    while !(kinds.contains("warm") && kinds.contains("standing")) {
        assert!(number < 200, "{kinds:?}");
        // More at once than there are warm connections.
        let numbers = number..number + 6;
        let mut held = Vec::new();
        for number in numbers.clone() {
            let (tunnel, answer) = way.connect(echo, &traceparent(&trace(number))).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            held.push(tunnel);
        }
        drop(held);
        for number in numbers {
            let client = collector.span(CLIENT, "CONNECT", &trace(number)).await;
            let gateway = collector.span("countersign-proxy", "CONNECT", &trace(number)).await;
            assert_eq!((&*client.parent, &gateway.parent), (PARENT, &client.id));
            let kind = client
                .attributes
                .iter()
                .find_map(|pair| pair.strip_prefix("countersign.gateway.connection="));
            kinds.insert(kind.unwrap().to_owned());
        }
        number += 6;
    }
}

/// Nothing is traced here, and what the application traces goes through all the same.
#[tokio::test]
async fn without_a_collector_the_applications_context_is_carried_on_unchanged() {
    let ((collector, address), echo) = (Collector::start().await, Upstream::echo().await);
    let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"))];
    let proxy = Proxy::program(Setup { environment, ..Setup::to(&[echo]) }, PROXY).await;
    let way = Halves::start(Plan { flags: Vec::new(), ..gated(address, &proxy, echo) }).await;
    let (tunnel, answer) = way.connect(echo, &traceparent(&trace(3))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(tunnel);
    let gateway = collector.span("countersign-proxy", "CONNECT", &trace(3)).await;
    assert_eq!(gateway.parent, PARENT);
    assert!(collector.told().by_service.spans.iter().all(|span| span.service == "countersign-proxy"));
}

#[tokio::test]
async fn figures_and_log_lines_leave_through_the_host_half() {
    let ((collector, address), echo) = (Collector::start().await, Upstream::echo().await);
    let proxy = Proxy::start(Setup::to(&[echo])).await;
    let way = Halves::start(gated(address, &proxy, echo)).await;
    let (mut tunnel, _) = way.connect(echo, "").await;
    round_trip(&mut tunnel, b"question").await;
    drop(tunnel);
    let (_refused, answer) = way.connect("192.0.2.1:9".parse().unwrap(), "").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    way.end().await;
    let told = collector.told().by_service;
    let enclave = |figure: &str| {
        let found = told
            .figures
            .iter()
            .rfind(|(service, name, _)| service == "countersign-enclave" && name == figure);
        found.unwrap_or_else(|| panic!("{figure}: {:#?}", told.figures)).2
    };
    let name = SERVER_NAME;
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
    let opened = told
        .figures
        .iter()
        .rfind(|(service, name, _)| service == "countersign-host" && name == "countersign.tunnels.opened{}");
    // Attestation, gateway, collector: at least these.
    assert!(opened.unwrap().2 >= 3.0, "{:#?}", told.figures);
}
