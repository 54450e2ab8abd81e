//! Who is whose parent.

use countersign_test_support::{Collector, Halves, Plan, Told, ToldSpan};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use crate::{ENCLAVE, echo, echoed};

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
    let ((collector, address), echo) = (Collector::start().await, echo().await);
    let way = Halves::start(Plan::direct(ENCLAVE, address, &[echo])).await;
    let (mut tunnel, answer) = way.connect(echo, &traceparent(&trace(1))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    echoed(&mut tunnel, b"question").await;
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
    let line = |told: &Told| {
        told.by_service.logs.iter().find(|log| log.service == HOST && log.trace == trace(1)).cloned()
    };
    let line = collector.until(line).await;
    assert_eq!(line.body, "connected");
}

/// A request for a URL goes on with this proxy's span as the parent, and the vendors' state as it was.
#[tokio::test]
async fn the_origin_of_a_url_sees_the_clients_span_as_its_parent() {
    let (collector, address) = Collector::start().await;
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = Halves::start(Plan::direct(ENCLAVE, address, &[origin.local_addr().unwrap()])).await;
    let to = origin.local_addr().unwrap();
    let answering = async {
        let mut stream = BufReader::new(origin.accept().await.unwrap().0);
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
    assert!(!String::from_utf8_lossy(&collector.told().by_service.bytes).contains("planted"));
}
