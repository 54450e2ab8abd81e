//! Slowloris on handshake, head and body: each is ended by its deadline, and all
//! the while another enclave attests and tunnels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use countersign_e2e::{Admitted, Answer, Proxy, Setup, Upstream, Wire, read_to_end, round_trip};
use countersign_protocol::wire::ATTEST_PATH;
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// More than the proxy has places for handshakes in these tests.
const CROWD: usize = 24;

#[tokio::test]
async fn a_crowd_that_never_finishes_its_handshake_on_the_attestation_port() {
    let (proxy, echo) = proxy().await;
    crowded(&proxy, proxy.attestation, &echo).await;
}

#[tokio::test]
async fn a_crowd_that_never_finishes_its_handshake_on_the_gateway_port() {
    let (proxy, echo) = proxy().await;
    crowded(&proxy, proxy.gateway, &echo).await;
}

async fn crowded(proxy: &Proxy, port: SocketAddr, echo: &str) {
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut stream = TcpStream::connect(port).await.unwrap();
        // A record header that announces a ClientHello, and no byte of it.
        stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00]).await.unwrap();
        crowd.push(stream);
    }
    others_are_served(proxy, echo).await;
    // They did not wait for the crowd to run into its deadline.
    let youngest = crowd.last().unwrap();
    assert_eq!(youngest.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    proxy.pass(Duration::from_secs(5)).await;
    for mut stream in crowd {
        // An alert may come first; what counts is that it ends.
        let _ = read_to_end(&mut stream).await;
    }
}

#[tokio::test]
async fn a_crowd_that_never_finishes_its_head() {
    let (proxy, echo) = proxy().await;
    let slow = proxy.admitted("payments-1.0").await;
    let mut attesters = Vec::new();
    let mut gateways = Vec::new();
    for _ in 0..4 {
        let mut enclave = proxy.enclave("payments-1.0").await;
        enclave.attester.wire.send(b"POST /v1/attest HTTP/1.1\r\nhost: ").await.unwrap();
        attesters.push(enclave.attester.wire);
        let mut wire = Wire::new(slow.dialer.dial(proxy.gateway).await.unwrap());
        wire.send(b"CONNECT vault.test:443 HTTP/1.1\r\nho").await.unwrap();
        gateways.push(wire);
    }
    others_are_served(&proxy, &echo).await;
    proxy.pass(Duration::from_secs(16)).await;
    for mut wire in attesters {
        assert_ended(wire.answer().await.ok());
    }
    for mut wire in gateways {
        let answer = wire.answer().await.expect("an answer that says why");
        assert_eq!(answer.refusal(), (408, "request-timeout".into()));
        assert!(wire.closes().await);
    }
}

#[tokio::test]
async fn a_crowd_that_never_finishes_its_body() {
    let (proxy, echo) = proxy().await;
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let mut enclave = proxy.enclave("payments-1.0").await;
        enclave.attester.challenge().await.unwrap();
        let head = format!("POST {ATTEST_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\nhalf");
        enclave.attester.wire.send(head.as_bytes()).await.unwrap();
        crowd.push(enclave.attester.wire);
    }
    others_are_served(&proxy, &echo).await;
    proxy.pass(Duration::from_secs(6)).await;
    for mut wire in crowd {
        let answer = wire.answer().await.expect("an answer that says why");
        assert_eq!(answer.refusal(), (408, "request-timeout".into()));
    }
}

/// Whoever has a connection and nothing to say does not keep it for ever.
#[tokio::test]
async fn a_silent_stranger_is_shown_out() {
    let (proxy, echo) = proxy().await;
    let mut silent = proxy.enclave("payments-1.0").await;
    silent.attester.challenge().await.unwrap();
    proxy.pass(Duration::from_secs(16)).await;
    assert!(silent.attester.wire.closes().await);
    others_are_served(&proxy, &echo).await;
}

async fn proxy() -> (Proxy, String) {
    let echo = Upstream::echo().await;
    let limits = "handshakes = 8\n";
    (Proxy::start(Setup { limits, ..Setup::to(&[echo]) }).await, echo.to_string())
}

/// An enclave attests, opens a tunnel, and attests again.
async fn others_are_served(proxy: &Proxy, echo: &str) {
    proxy.settle().await;
    let Admitted { mut enclave, dialer, .. } = proxy.admitted("payments-2.0").await;
    let mut tunnel = proxy.open(&dialer, echo).await.unwrap();
    round_trip(&mut tunnel, b"untouched").await;
    enclave.attest(2, |_| ()).await.grant();
}

/// Refused with a reason, or closed without one.
fn assert_ended(answer: Option<Answer>) {
    if let Some(answer) = answer {
        assert_eq!(answer.status, 408, "{answer:?}");
    }
}
