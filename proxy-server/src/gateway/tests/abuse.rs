//! Slow, oversized, malformed: bounded, and named.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::rig::{Rig, answer, connect, destination};
use crate::{gateway::GatewayConfig, policy::Limits};

#[tokio::test]
async fn a_handshake_that_says_nothing_ends() {
    let rig = Rig::with(&["a.test:1"], hasty(), Limits::default()).await;
    let mut silent = TcpStream::connect(rig.address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    let mut halfway = TcpStream::connect(rig.address).await.unwrap();
    halfway.write_all(&[22, 3, 1, 1, 0, 1, 0]).await.unwrap();
    assert_eq!(halfway.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn silent_handshakes_keep_nobody_out() {
    let (listener, target) = destination().await;
    let config = GatewayConfig { max_handshakes: 4, ..GatewayConfig::default() };
    let rig = Rig::with(&[&target], config, Limits::default()).await;
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(TcpStream::connect(rig.address).await.unwrap());
    }
    let _client = rig.tunnel(&rig.enclave(60), &target).await;
    listener.accept().await.unwrap();
    let (oldest, _) = silent.split_first_mut().unwrap();
    assert_eq!(oldest.read(&mut [0; 1]).await.unwrap(), 0, "the oldest one made room");
}

#[tokio::test]
async fn what_is_no_tls_ends_at_once() {
    let rig = Rig::new(&["a.test:1"]).await;
    let mut plain = TcpStream::connect(rig.address).await.unwrap();
    plain.write_all(b"CONNECT a.test:1 HTTP/1.1\r\n\r\n").await.unwrap();
    let end = plain.read(&mut [0; 1]).await;
    assert!(matches!(end, Ok(0)) || end.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_told_so() {
    let rig = Rig::with(&["a.test:1"], hasty(), Limits::default()).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    client.write_all(b"CONNECT a.test:1 HTTP/1.1\r\nHost: ").await.unwrap();
    assert_eq!(answer(&mut client).await.unwrap().code(), "request-timeout");
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_without_request_ends() {
    let config = GatewayConfig { idle_timeout: Duration::from_millis(100), ..GatewayConfig::default() };
    let rig = Rig::with(&["a.test:1"], config, Limits::default()).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "with close_notify");
}

#[tokio::test]
async fn an_oversized_head_is_told_so() {
    let rig = Rig::new(&["a.test:1"]).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    let head = format!("CONNECT a.test:1 HTTP/1.1\r\nHost: a.test:1\r\nX: {}\r\n\r\n", "x".repeat(8192));
    client.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut client).await.unwrap().code(), "too-large");
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_body_is_refused_and_never_read_as_a_request() {
    let (_listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    let inner = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let outer = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    client.write_all(outer.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut client).await.unwrap().code(), "bad-request");
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "the connection is over");
}

#[tokio::test]
async fn bytes_behind_a_refused_request_are_never_read_as_a_request() {
    let (_listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    let two = format!(
        "CONNECT b.test:1 HTTP/1.1\r\nHost: b\r\n\r\nCONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
    );
    client.write_all(two.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut client).await.unwrap().code(), "destination-denied");
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "the connection is over");
}

#[tokio::test]
async fn another_method_is_refused() {
    let rig = Rig::new(&["a.test:1"]).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    client.write_all(b"GET http://a.test:1/ HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut client).await.unwrap().code(), "method-not-allowed");
}

#[tokio::test]
async fn refusals_on_one_connection_are_bounded() {
    let rig = Rig::new(&["a.test:1"]).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    let mut refused = 0;
    while let Ok(answer) = connect(&mut client, "b.test:1").await {
        assert_eq!(answer.code(), "destination-denied");
        refused += 1;
        assert!(refused <= 32);
    }
    assert_eq!(refused, 32);
}

#[tokio::test]
async fn a_record_changed_on_the_way_ends_the_tunnel_with_an_alert() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let mut client = rig.tunnel(&rig.enclave(60), &target).await;
    let (mut server, _) = listener.accept().await.unwrap();
    // A record under no key at all, in the middle of the stream.
    let forged = [&[23, 3, 3, 0, 20][..], &[0; 20]].concat();
    client.get_mut().0.write_all(&forged).await.unwrap();
    let error = client.read(&mut [0; 1]).await.unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    let end = server.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn connections_beyond_the_bound_are_turned_away() {
    let (_listener, target) = destination().await;
    let config = GatewayConfig { max_connections: 1, ..GatewayConfig::default() };
    let rig = Rig::with(&[&target], config, Limits::default()).await;
    let enclave = rig.enclave(60);
    let _held = rig.tunnel(&enclave, &target).await;
    let error = rig.connect(&enclave, b"http/1.1").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

fn hasty() -> GatewayConfig {
    let soon = Duration::from_millis(100);
    GatewayConfig { handshake_timeout: soon, head_timeout: soon, ..GatewayConfig::default() }
}
