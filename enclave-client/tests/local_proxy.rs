//! Attacks on the local proxy's port; nothing behind it is reachable.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use countersign_enclave::{
    egress::{Egress, Outer},
    local::{LocalProxy, LocalProxyLimits},
};
use countersign_protocol::{Problem, egress::EgressPolicy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::{CancellationToken, DropGuard};

async fn start(limits: LocalProxyLimits) -> (SocketAddr, DropGuard) {
    let proxy = LocalProxy::bind(0, limits).await.unwrap();
    let address = proxy.address();
    assert!(address.ip().is_loopback());
    let stop = CancellationToken::new();
    let egress = Egress::new(EgressPolicy::default(), HashMap::new(), Outer::Direct);
    tokio::spawn(proxy.serve(Arc::new(egress), stop.clone()));
    (address, stop.drop_guard())
}

async fn answer(stream: &mut TcpStream) -> Problem {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nContent-Type: application/problem+json\r\n"), "{head}");
    let problem: Problem = serde_json::from_str(body).unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {} ", problem.status)), "{head}");
    problem
}

async fn ask(address: SocketAddr, head: &str) -> Problem {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    answer(&mut stream).await
}

#[tokio::test]
async fn what_no_rule_allows_is_denied_by_name() {
    let (address, _stop) = start(LocalProxyLimits::default()).await;
    let problem = ask(address, "CONNECT Evil.example.:443 HTTP/1.1\r\nHost: kms.example\r\n\r\n").await;
    assert_eq!((problem.status, &*problem.code), (403, "destination-denied"));
    assert_eq!(problem.detail, "evil.example:443: no rule allows it");
}

#[tokio::test]
async fn each_bad_request_has_its_answer() {
    let (address, _stop) = start(LocalProxyLimits::default()).await;
    let long = format!("CONNECT a.example:443 HTTP/1.1\r\nX: {}", "x".repeat(9000));
    for (head, status, code) in [
        ("GET http://a.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not-supported"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method-not-allowed"),
        ("CONNECT a.example HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-destination"),
        ("CONNECT a.example:443 HTTP/1.1\nHost: a\n\n", 400, "bad-request"),
        ("\u{16}\u{3}\u{1}\r\n\r\n", 400, "bad-request"),
        (&long, 413, "too-large"),
    ] {
        let problem = ask(address, head).await;
        assert_eq!((problem.status, &*problem.code), (status, code), "{head:?}");
    }
}

#[tokio::test]
async fn a_slow_head_is_given_up() {
    let limits = LocalProxyLimits { head_deadline: Duration::from_millis(50), ..LocalProxyLimits::default() };
    let (address, _stop) = start(limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"CONNECT a.exa").await.unwrap();
    let problem = answer(&mut stream).await;
    assert_eq!((problem.status, &*problem.code), (408, "request-timeout"));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_others_go_on() {
    let (address, _stop) = start(LocalProxyLimits { connections: 1, ..LocalProxyLimits::default() }).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    // Accepted in order, so the second is accepted while the first is held.
    let mut second = TcpStream::connect(address).await.unwrap();
    let problem = answer(&mut second).await;
    assert_eq!((problem.status, &*problem.code), (503, "overloaded"));
    first.write_all(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut first).await.status, 403);
}

#[tokio::test]
async fn both_loopbacks_listen_where_the_machine_has_both() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("SKIPPED: this machine has no IPv6 loopback");
        return;
    }
    let (address, _stop) = start(LocalProxyLimits::default()).await;
    let v6 = SocketAddr::new("::1".parse().unwrap(), address.port());
    assert_eq!(ask(v6, "CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n").await.status, 403);
}
