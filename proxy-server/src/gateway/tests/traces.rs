//! What a trace says of a tunnel, and what a collector in trouble does to tunnels: nothing.

use bytes::Bytes;
use countersign_telemetry::{
    Kind, Status, TraceContext,
    otlp::{Endpoint, Otlp, Resource, Settings, TcpConnect},
};
use countersign_test_support::{Collector, attribute, hex};
use h2::client::SendRequest;
use http::{Method, Request};
use opentelemetry_proto::tonic::{
    common::v1::any_value::Value,
    logs::v1::LogRecord,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt;

use super::rig::{Answer, Client, Rig, answer, destination};
use crate::session::EndReason;

#[tokio::test]
async fn a_tunnel_is_a_span_of_the_clients_trace() {
    let (listener, target) = destination().await;
    let (rig, collector) = rig(&[&target]).await;
    let enclave = rig.enclave(60);
    let mut client = rig.connect(&enclave, b"http/1.1").await.unwrap();
    let headers = format!("traceparent: {PARENT}\r\ntracestate: a=b\r\n");
    assert_eq!(ask(&mut client, &target, &headers).await, Answer::Open);
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question", "no header of the CONNECT goes on");
    server.write_all(b"the answer").await.unwrap();
    drop(server);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"the answer");

    let span = only(&collector).await;
    assert_eq!((span.name.as_str(), span.kind()), ("CONNECT", SpanKind::Server));
    assert_eq!(hex(&span.trace_id), TRACE);
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    let (host, port) = target.rsplit_once(':').unwrap();
    let id = enclave.session.id().to_string();
    for (name, value) in [
        ("server.address", text(host)),
        ("server.port", Value::IntValue(port.parse().unwrap())),
        ("network.peer.address", text(host)),
        ("network.protocol.version", text("1.1")),
        ("http.request.method", text("CONNECT")),
        ("http.response.status_code", Value::IntValue(200)),
        ("countersign.session.id", text(&id)),
        ("countersign.workload", text("demo")),
        ("countersign.tunnel.bytes_up", Value::IntValue(8)),
        ("countersign.tunnel.bytes_down", Value::IntValue(10)),
        ("countersign.tunnel.end_reason", text("closed")),
    ] {
        assert_eq!(attribute(&span.attributes, name), Some(&value), "{name}");
    }
    assert_eq!(span.status, None);
}

#[tokio::test]
async fn streams_of_one_connection_are_each_of_their_own_trace() {
    let (listener, target) = destination().await;
    let (rig, collector) = rig(&[&target]).await;
    let enclave = rig.enclave(60);
    let client = rig.connect(&enclave, b"h2").await.unwrap();
    let (mut requests, connection) = h2::client::handshake(client).await.unwrap();
    tokio::spawn(connection);
    let other = PARENT.replace(TRACE, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    for parent in [PARENT, &other] {
        let (to, from) = stream(&mut requests, &target, Some(parent)).await;
        let (server, _) = listener.accept().await.unwrap();
        drop((to, from, server));
    }
    let spans = collector.until(|told| (told.spans.len() == 2).then(|| told.spans.clone())).await;
    let mut traces: Vec<_> = spans.iter().map(|span| hex(&span.trace_id)).collect();
    traces.sort();
    assert_eq!(traces, [TRACE, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]);
    assert!(spans.iter().all(|span| hex(&span.parent_span_id) == "00f067aa0ba902b7"));
    assert!(
        spans.iter().all(|span| attribute(&span.attributes, "network.protocol.version") == Some(&text("2")))
    );
}

#[tokio::test]
async fn a_refusal_says_its_code() {
    let (rig, collector) = rig(&["a.test:1"]).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    let refused = ask(&mut client, "b.test:443", &format!("traceparent: {PARENT}\r\n")).await;
    assert_eq!(refused.code(), "destination-denied");
    let span = only(&collector).await;
    assert_eq!(hex(&span.trace_id), TRACE);
    assert_eq!(attribute(&span.attributes, "error.type"), Some(&text("destination-denied")));
    assert_eq!(attribute(&span.attributes, "server.address"), Some(&text("b.test")));
    assert_eq!(attribute(&span.attributes, "http.response.status_code"), Some(&Value::IntValue(403)));
    assert_eq!(span.status.unwrap().code(), StatusCode::Error);
}

#[tokio::test]
async fn a_cut_tunnel_says_why() {
    let (listener, target) = destination().await;
    let (rig, collector) = rig(&[&target]).await;
    let enclave = rig.enclave(60);
    let _client = rig.tunnel(&enclave, &target).await;
    let _server = listener.accept().await.unwrap();
    rig.sessions.end(&enclave.session.id(), EndReason::MeasurementRevoked);
    let span = only(&collector).await;
    assert_eq!(span.parent_span_id, Vec::<u8>::new());
    assert_eq!(attribute(&span.attributes, "error.type"), Some(&text("measurement-revoked")));
    assert_eq!(span.status.unwrap().code(), StatusCode::Error);
}

#[tokio::test]
async fn a_bad_trace_context_is_as_none() {
    let (listener, target) = destination().await;
    let (rig, collector) = rig(&[&target]).await;
    let enclave = rig.enclave(60);
    let long = format!("traceparent: {}\r\n", "0".repeat(4000));
    let twice = format!("traceparent: {PARENT}\r\ntraceparent: {PARENT}\r\n");
    let zeros = format!("traceparent: 00-{}-00f067aa0ba902b7-01\r\n", "0".repeat(32));
    let binary = "traceparent: \u{e9}\u{1f980}\r\n".to_owned();
    let bad = [long, twice, zeros, binary, "traceparent:\r\n".to_owned()];
    for headers in &bad {
        let mut client = rig.connect(&enclave, b"http/1.1").await.unwrap();
        assert_eq!(ask(&mut client, &target, headers).await, Answer::Open, "{headers}");
        drop(listener.accept().await.unwrap());
    }
    let spans = collector.until(|told| (told.spans.len() == bad.len()).then(|| told.spans.clone())).await;
    assert!(spans.iter().all(|span| span.parent_span_id.is_empty() && hex(&span.trace_id) != TRACE));
}

#[tokio::test]
async fn what_the_client_does_not_record_is_not_recorded_here() {
    let (listener, target) = destination().await;
    let (rig, collector) = rig(&[&target]).await;
    let enclave = rig.enclave(60);
    for (flags, spans) in [("00", 0), ("01", 1)] {
        let mut client = rig.connect(&enclave, b"http/1.1").await.unwrap();
        let parent = PARENT.strip_suffix("01").unwrap();
        assert_eq!(
            ask(&mut client, &target, &format!("traceparent: {parent}{flags}\r\n")).await,
            Answer::Open
        );
        drop((client, listener.accept().await.unwrap()));
        if spans > 0 {
            let span = only(&collector).await;
            assert_eq!(hex(&span.trace_id), TRACE);
        }
    }
}

#[tokio::test]
async fn lines_of_a_decision_name_the_trace() {
    let (listener, target) = destination().await;
    let (collector, address) = Collector::start().await;
    let otlp = Otlp::new(settings(&format!("http://{address}"))).unwrap();
    // With one subscriber alive, a line that another test's thread writes first is off for good.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    // The port itself records nothing: the client's context is enough.
    let _logged = tracing::subscriber::set_default(tracing_subscriber::registry().with(otlp.layer()));
    tokio::spawn(otlp.run(TcpConnect, (), CancellationToken::new()));
    let rig = Rig::new(&[&target]).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    let headers = format!("traceparent: {PARENT}\r\n");
    assert_eq!(ask(&mut client, "b.test:443", &headers).await.code(), "destination-denied");
    assert_eq!(ask(&mut client, &target, &headers).await, Answer::Open);
    drop((client, listener.accept().await.unwrap()));
    for code in ["destination-denied", "tunnel-opened"] {
        let coded = |log: &&LogRecord| attribute(&log.attributes, "code") == Some(&text(code));
        let line = collector.until(|told| told.logs.iter().find(coded).cloned()).await;
        assert_eq!((hex(&line.trace_id).as_str(), hex(&line.span_id).as_str()), (TRACE, "00f067aa0ba902b7"));
    }
}

#[tokio::test]
async fn a_full_queue_costs_no_tunnel_and_is_counted() {
    let otlp = Otlp::new(settings("http://127.0.0.1:9")).unwrap();
    let (tracer, counts) = (otlp.tracer(), otlp.counts());
    (0..5000).for_each(|_| tracer.span("filler", Kind::Internal, None).end(Status::Unset));
    let (listener, target) = destination().await;
    let rig = Rig::traced(&[&target], tracer, counts).await;
    let mut client = rig.tunnel(&rig.enclave(60), &target).await;
    let (mut server, _) = listener.accept().await.unwrap();
    client.write_all(b"x").await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'x');
    drop((client, server));
    rig.stop.cancel();
    rig.served.await.unwrap();
    let line = format!(
        "countersign_telemetry_lost_total{{signal=\"traces\",reason=\"queue-full\"}} {}\n",
        5001 - 4096
    );
    let text = rig.metrics.text();
    assert!(text.contains(&line), "{text}");
}

/// A gateway whose spans go to a collector.
async fn rig(destinations: &[&str]) -> (Rig, Collector) {
    let (collector, address) = Collector::start().await;
    let otlp = Otlp::new(settings(&format!("http://{address}"))).unwrap();
    let rig = Rig::traced(destinations, otlp.tracer(), otlp.counts()).await;
    tokio::spawn(otlp.run(TcpConnect, (), CancellationToken::new()));
    (rig, collector)
}

fn settings(endpoint: &str) -> Settings {
    Settings::new(Endpoint::parse(endpoint).unwrap(), Resource::new("test", "0"))
}

/// A CONNECT over HTTP/1.1 with more headers.
async fn ask(client: &mut Client, target: &str, headers: &str) -> Answer {
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{headers}\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    answer(client).await.unwrap()
}

/// A CONNECT over HTTP/2.
async fn stream(
    requests: &mut SendRequest<Bytes>,
    target: &str,
    parent: Option<&str>,
) -> (h2::SendStream<Bytes>, h2::RecvStream) {
    let mut request = Request::builder().method(Method::CONNECT).uri(target);
    if let Some(parent) = parent {
        request = request.header(TraceContext::HEADER, parent);
    }
    let (response, to) = requests.send_request(request.body(()).unwrap(), false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    (to, response.into_body())
}

/// The one span that the collector is told.
async fn only(collector: &Collector) -> Span {
    let spans = collector.until(|told| (!told.spans.is_empty()).then(|| told.spans.clone())).await;
    let [span] = spans.as_slice() else { panic!("{spans:#?}") };
    span.clone()
}

fn text(of: &str) -> Value {
    Value::StringValue(of.to_owned())
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
