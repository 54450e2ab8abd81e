//! The local proxy's port: who is let in, and what is said to whom is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod local;

use std::{net::SocketAddr, time::Duration};

use countersign_enclave::local::LocalProxyLimits;
use local::{Answer, Local, Origin};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn what_no_rule_allows_is_denied_by_name() {
    let local = Local::with(LocalProxyLimits::default(), &[]).await;
    for request in [
        "CONNECT Evil.example.:443 HTTP/1.1\r\nHost: kms.example\r\n\r\n",
        "GET http://Evil.example.:443/ HTTP/1.1\r\nHost: kms.example\r\n\r\n",
    ] {
        let answer = local.ask(request).await;
        let problem = answer.problem();
        assert_eq!((problem.status, &*problem.code), (403, "destination-denied"));
        assert_eq!(problem.detail, "evil.example:443: no rule allows it");
        let status = "Proxy-Status: countersign; error=http_request_denied; details=\"evil.example:443: no rule allows it\"";
        assert!(answer.head.lines().any(|line| line == status), "{}", answer.head);
    }
}

#[tokio::test]
async fn blocked_unreachable_and_unknown_are_told_apart() {
    let local = Local::with(LocalProxyLimits::default(), &["127.0.0.1", "nowhere.invalid"]).await;
    let gone = Origin::start().await.address;
    for (target, status, code, error) in [
        (gone.to_string(), 502, "unreachable", "destination_unavailable"),
        // RFC 6761 section 6.4: such a name never resolves.
        ("nowhere.invalid:80".to_owned(), 502, "resolve-failed", "dns_error"),
        ("127.0.0.2:80".to_owned(), 403, "destination-denied", "http_request_denied"),
        ("169.254.169.254:80".to_owned(), 403, "destination-denied", "http_request_denied"),
        ("0xa9fea9fe:80".to_owned(), 403, "destination-denied", "http_request_denied"),
        ("[::ffff:169.254.169.254]:80".to_owned(), 403, "destination-denied", "http_request_denied"),
        ("localhost:80".to_owned(), 403, "destination-denied", "http_request_denied"),
    ] {
        for request in [
            format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            format!("GET http://{target}/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ] {
            let answer = local.ask(request).await;
            let problem = answer.problem();
            assert_eq!((problem.status, &*problem.code), (status, code), "{target}: {}", problem.detail);
            assert!(answer.head.contains(&format!("error={error};")), "{target}: {}", answer.head);
        }
    }
}

#[tokio::test]
async fn a_refusal_of_head_has_no_content() {
    let local = Local::with(LocalProxyLimits::default(), &[]).await;
    let answer = local.ask("HEAD http://a.example/ HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status(), &*answer.body), (403, ""));
}

#[tokio::test]
async fn a_slow_head_is_given_up() {
    let limits = LocalProxyLimits { head_deadline: Duration::from_millis(50), ..LocalProxyLimits::default() };
    let local = Local::with(limits, &[]).await;
    let mut stream = local.connect().await;
    stream.write_all(b"CONNECT a.exa").await.unwrap();
    let problem = Answer::to_end(&mut stream).await.problem();
    assert_eq!((problem.status, &*problem.code), (408, "request-timeout"));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_others_go_on() {
    let limits = LocalProxyLimits { connections: 1, ..LocalProxyLimits::default() };
    let local = Local::with(limits, &[]).await;
    let mut first = local.connect().await;
    // Accepted in order, so the second is accepted while the first is held.
    let mut second = local.connect().await;
    let problem = Answer::to_end(&mut second).await.problem();
    assert_eq!((problem.status, &*problem.code), (503, "overloaded"));
    first.write_all(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(Answer::to_end(&mut first).await.status(), 403);
}

#[tokio::test]
async fn both_loopbacks_listen_where_the_machine_has_both() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("SKIPPED: this machine has no IPv6 loopback");
        return;
    }
    let local = Local::with(LocalProxyLimits::default(), &[]).await;
    let v6 = SocketAddr::new("::1".parse().unwrap(), local.address.port());
    let mut stream = tokio::net::TcpStream::connect(v6).await.unwrap();
    stream.write_all(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(Answer::to_end(&mut stream).await.status(), 403);
}
