//! Who is whose parent.

use countersign_e2e::{Collector, Proxy, Setup, Told, ToldSpan, Upstream, round_trip};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::way::{Plan, Way};

const PROXY: &str = env!("CARGO_BIN_EXE_e2e-proxy");

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

fn has(span: &ToldSpan, pair: &str) -> bool {
    span.attributes.iter().any(|attribute| attribute == pair)
}

/// Application ─► client ─► host half ─► upstream.
#[tokio::test]
async fn without_a_proxy_the_host_halfs_span_is_the_clients_child() {
    let (collector, echo) = (Collector::start().await, Upstream::echo().await);
    let way = Way::start(Plan::direct(&collector, &[echo])).await;
    let (mut tunnel, answer) = way.connect(echo, &traceparent(&trace(1))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    round_trip(&mut tunnel, b"question").await;
    drop(tunnel);

    let client = collector.span(CLIENT, "CONNECT", &trace(1)).await;
    let host = collector.span(HOST, "dial", &trace(1)).await;
    assert_eq!((&*client.parent, &host.parent), (PARENT, &client.id));
    for span in [&client, &host] {
        assert!(!span.failed, "{span:#?}");
        for pair in [
            "server.address=127.0.0.1".to_owned(),
            format!("server.port={}", echo.port()),
            "countersign.tunnel.bytes_up=8".to_owned(),
            "countersign.tunnel.bytes_down=8".to_owned(),
        ] {
            assert!(has(span, &pair), "{pair}: {span:#?}");
        }
    }
    assert!(has(&client, "countersign.route=default"), "{client:#?}");
    let rule = client.attributes.iter().find(|pair| pair.starts_with("countersign.rule=")).unwrap();
    assert!(rule.contains("egress.allow[0]"), "{rule}");
    // The host half's lines name the trace, and so does the record that is made of them.
    let line = |told: &Told| told.logs.iter().find(|log| log.service == HOST && log.trace == trace(1)).cloned();
    let line = collector.find("a line of the host half", line).await;
    assert_eq!(line.body, "connected");
}

/// Application ─► client ─► host half, and client ─► proxy ─► upstream. A request finds connections to the gateway that
/// were opened ahead, and the host half then has no part in it; so they are taken away first.
#[tokio::test]
async fn one_trace_through_client_host_half_and_proxy() {
    let (collector, echo) = (Collector::start().await, Upstream::echo().await);
    let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())];
    let proxy = Proxy::program(Setup { environment, ..Setup::to(&[echo]) }, PROXY).await;
    let mut way = Way::start(Plan::gated(&collector, &proxy, &[echo])).await;
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
    let told = collector.told();
    let spans: Vec<_> = told.spans.iter().filter(|span| span.trace == trace).collect();
    for span in &spans {
        let known = span.parent == PARENT || spans.iter().any(|other| other.id == span.parent);
        assert!(known, "{span:#?}");
    }
}

/// Over HTTP/2 as well: the second and later tunnels of a client run on a standing connection.
#[tokio::test]
async fn tunnels_on_standing_connections_carry_the_trace_to_the_proxy() {
    let (collector, echo) = (Collector::start().await, Upstream::echo().await);
    let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())];
    let proxy = Proxy::program(Setup { environment, ..Setup::to(&[echo]) }, PROXY).await;
    let way = Way::start(Plan::gated(&collector, &proxy, &[echo])).await;
    let mut kinds = std::collections::BTreeSet::new();
    let mut number = 100;
    while !(kinds.contains("warm") && kinds.contains("standing")) {
        number += 1;
        assert!(number < 160, "{kinds:?}");
        let (tunnel, answer) = way.connect(echo, &traceparent(&trace(number))).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        drop(tunnel);
        let client = collector.span(CLIENT, "CONNECT", &trace(number)).await;
        let gateway = collector.span("countersign-proxy", "CONNECT", &trace(number)).await;
        assert_eq!((&*client.parent, &gateway.parent), (PARENT, &client.id));
        let kind = client.attributes.iter().find_map(|pair| pair.strip_prefix("countersign.gateway.connection="));
        kinds.insert(kind.unwrap().to_owned());
    }
}

/// A request for a URL goes on with this proxy's span as the parent, and the vendors' state as it was.
#[tokio::test]
async fn the_origin_of_a_url_sees_the_clients_span_as_its_parent() {
    let collector = Collector::start().await;
    let mut origin = Upstream::start().await;
    let way = Way::start(Plan::direct(&collector, &[origin.address])).await;
    let to = origin.address;
    let answering = async {
        let mut stream = BufReader::new(origin.accept().await);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).await.unwrap(), 0, "{head}");
        }
        stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nyes").await.unwrap();
        (stream, head)
    };
    let head = format!(
        "PUT http://{to}/planted-path?planted-query HTTP/1.1\r\nHost: {to}\r\nContent-Length: 2\r\n{}tracestate: a=b\r\n\
         Authorization: Bearer planted-token\r\nConnection: close\r\n\r\nok",
        traceparent(&trace(2))
    );
    let ((_caller, answer), (_origin, seen)) = tokio::join!(way.ask(&head), answering);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let client = collector.span(CLIENT, "forward", &trace(2)).await;
    assert_eq!(client.parent, PARENT);
    let seen = seen.to_ascii_lowercase();
    assert!(seen.contains(&format!("\r\ntraceparent: 00-{}-{}-01\r\n", trace(2), client.id)), "{seen}");
    assert!(seen.contains("\r\ntracestate: a=b\r\n"), "{seen}");
    for pair in [
        "http.request.method=PUT",
        "http.response.status_code=201",
        "countersign.tunnel.bytes_up=2",
        "countersign.tunnel.bytes_down=3",
    ] {
        assert!(has(&client, pair), "{pair}: {client:#?}");
    }
    let host = collector.span(HOST, "dial", &trace(2)).await;
    assert_eq!(host.parent, client.id);
    // Not the path, not a field, in no signal.
    way.end().await;
    assert!(!String::from_utf8_lossy(&collector.told().bytes).contains("planted"));
}

/// Nothing is traced here, and what the application traces goes through all the same.
#[tokio::test]
async fn without_a_collector_the_applications_context_is_carried_on_unchanged() {
    let (collector, echo) = (Collector::start().await, Upstream::echo().await);
    let environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())];
    let proxy = Proxy::program(Setup { environment, ..Setup::to(&[echo]) }, PROXY).await;
    let plan = Plan { flags: Vec::new(), ..Plan::gated(&collector, &proxy, &[echo]) };
    let way = Way::start(plan).await;
    let (tunnel, answer) = way.connect(echo, &traceparent(&trace(3))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(tunnel);
    let gateway = collector.span("countersign-proxy", "CONNECT", &trace(3)).await;
    assert_eq!(gateway.parent, PARENT);
    assert!(collector.told().spans.iter().all(|span| span.service == "countersign-proxy"));
}
