//! What a trace says of an attestation.

use countersign_protocol::wire;
use countersign_telemetry::otlp::{Endpoint, Otlp, Resource, Settings, TcpConnect};
use countersign_test_support::{Collector, attribute, hex};
use opentelemetry_proto::tonic::{
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use tokio_util::sync::CancellationToken;

use super::{client::Client, fixture::Fixture};

#[tokio::test]
async fn an_admission_is_verified_and_stored_inside_the_clients_trace() {
    let (fixture, collector) = traced("traced").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let challenge = client.challenge().await;
    let document = client.sign(&client.request(&challenge.nonce, 1));
    let body = client.body(&document, 1);
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: proxy\r\ntraceparent: {PARENT}\r\ncontent-length: {}\r\n\r\n",
        wire::ATTEST_PATH,
        body.len()
    );
    let grant = client.send(&[head.as_bytes(), &body].concat()).await.grant().unwrap();

    let spans = collector.until(|told| (told.spans.len() == 3).then(|| told.spans.clone())).await;
    let attest = named(&spans, "POST /v1/attest");
    assert_eq!(attest.kind(), SpanKind::Server);
    assert_eq!(hex(&attest.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&attest.parent_span_id), "00f067aa0ba902b7");
    let session = grant.session.to_string();
    for (name, value) in [
        ("countersign.decision", "admitted"),
        ("countersign.session.id", &session),
        ("countersign.workload", "payments"),
    ] {
        assert_eq!(attribute(&attest.attributes, name), Some(&text(value)), "{name}");
    }
    for step in ["verify", "store"] {
        let step = named(&spans, step);
        assert_eq!((&step.trace_id, &step.parent_span_id), (&attest.trace_id, &attest.span_id));
        assert!(step.start_time_unix_nano >= attest.start_time_unix_nano);
    }
}

#[tokio::test]
async fn a_refusal_says_its_code_and_begins_a_trace_of_its_own() {
    let (fixture, collector) = traced("traced-refusal").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let challenge = client.challenge().await;
    let mut document = client.sign(&client.request(&challenge.nonce, 1));
    *document.last_mut().unwrap() ^= 1;
    let code = client.send_document(&document, 1).await.unwrap_err().code;

    let spans = collector.until(|told| (told.spans.len() == 2).then(|| told.spans.clone())).await;
    let attest = named(&spans, "POST /v1/attest");
    assert_eq!(attest.parent_span_id, Vec::<u8>::new());
    for span in [attest, named(&spans, "verify")] {
        assert_eq!(attribute(&span.attributes, "error.type"), Some(&text(&code)));
        assert_eq!(span.status.as_ref().unwrap().code(), StatusCode::Error);
    }
    assert_eq!(attribute(&attest.attributes, "countersign.decision"), Some(&text("refused")));
}

async fn traced(name: &str) -> (Fixture, Collector) {
    let (collector, address) = Collector::start().await;
    let endpoint = Endpoint::parse(&format!("http://{address}")).unwrap();
    let otlp = Otlp::new(Settings::new(endpoint, Resource::new("test", "0"))).unwrap();
    let fixture = Fixture::traced(name, otlp.tracer()).await;
    tokio::spawn(otlp.run(TcpConnect, (), CancellationToken::new()));
    (fixture, collector)
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

fn text(of: &str) -> Value {
    Value::StringValue(of.to_owned())
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
