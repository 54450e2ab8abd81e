//! An application that sends anything as its trace context.

use countersign_test_support::{Collector, Halves, Plan};

use crate::{ENCLAVE, echo, echoed};

const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The tunnel is opened, and the trace is a new one.
#[tokio::test]
async fn malformed_and_huge_contexts_open_the_tunnel_and_go_nowhere() {
    let ((collector, address), echo) = (Collector::start().await, echo().await);
    let way = Halves::start(Plan::direct(ENCLAVE, address, &[echo])).await;
    let huge = "a=planted,".repeat(1400);
    let fields = [
        "traceparent: planted\r\n".to_owned(),
        "traceparent:\r\n".to_owned(),
        format!("traceparent: {}\r\n", GOOD.to_uppercase()),
        format!("traceparent: {GOOD}-planted\r\n"),
        format!("traceparent: {GOOD}\r\ntraceparent: {GOOD}\r\n"),
        "traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n".to_owned(),
        format!("traceparent: {}\r\n", "f".repeat(14_000)),
        format!("traceparent: \u{e9}{GOOD}\r\n"),
        format!("tracestate: {huge}\r\n"),
    ];
    for (number, fields) in fields.iter().enumerate() {
        let (mut tunnel, answer) = way.connect(echo, fields).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{fields:.80}: {answer}");
        echoed(&mut tunnel, b"through").await;
        drop(tunnel);
        let client = collector
            .until(|told| {
                told.by_service.spans.iter().filter(|span| span.name == "CONNECT").nth(number).cloned()
            })
            .await;
        assert_eq!(client.parent, "", "{fields:.80}");
        assert_ne!(client.trace, "0af7651916cd43dd8448eb211c80319c");
        let host = collector.span("countersign-host", "dial", &client.trace).await;
        assert_eq!(host.parent, client.id);
    }
    way.end().await;
    assert!(!String::from_utf8_lossy(&collector.told().by_service.bytes).contains("planted"));
}

/// Who began the trace does not record it, so nobody does; it goes through all the same.
#[tokio::test]
async fn a_trace_that_is_not_sampled_is_not_told() {
    let ((collector, address), echo) = (Collector::start().await, echo().await);
    let way = Halves::start(Plan::direct(ENCLAVE, address, &[echo])).await;
    let unsampled = GOOD.trim_end_matches("01").to_owned() + "00";
    let (mut tunnel, _) = way.connect(echo, &format!("traceparent: {unsampled}\r\n")).await;
    echoed(&mut tunnel, b"through").await;
    drop(tunnel);
    // The one after it is told, so the one before it would have been.
    let (tunnel, _) = way.connect(echo, &format!("traceparent: {GOOD}\r\n")).await;
    drop(tunnel);
    collector.span("countersign-enclave", "CONNECT", "0af7651916cd43dd8448eb211c80319c").await;
    way.end().await;
    assert_eq!(collector.told().by_service.spans.iter().filter(|span| span.name == "CONNECT").count(), 1);
}
