//! HTTP that is not what it must be: on the wrong port, out of order, too large,
//! malformed. Each answered with its code, and the next enclave is served.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use countersign_e2e::{Answer, Closed, Identity, Proxy, Setup, Wire};
use countersign_protocol::{
    BootId, Lease,
    message::Attest,
    wire::{ATTEST_PATH, CHALLENGE_PATH, MAX_ATTEST_BODY},
};

#[tokio::test]
async fn an_answer_before_the_question_is_refused() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    let challenge = enclave.attester.challenge().await.unwrap();
    let claim = enclave.attester.honest(&challenge, enclave.boot, 1);
    let document = claim.document(&enclave.nsm);
    enclave.reconnect(&proxy).await;
    let answer = enclave.attester.answer(&claim, &document).await.unwrap();
    assert_eq!(answer.refusal(), (409, "no-challenge".into()));
    // The connection is as good as new.
    enclave.attest(1, |_| ()).await.grant();
}

#[tokio::test]
async fn the_attestation_port_knows_two_paths_and_one_method() {
    let proxy = Proxy::start(Setup::default()).await;
    for (request, status, code) in [
        ("GET /v1/challenge HTTP/1.1\r\nhost: x\r\n\r\n", 405, "method-not-allowed"),
        ("PUT /v1/attest HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", 405, "method-not-allowed"),
        ("POST /v2/attest HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", 404, "not-found"),
        ("POST /v1/attest/../challenge HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", 404, "not-found"),
        ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", 404, "not-found"),
    ] {
        let answer = ask(&proxy, request.as_bytes()).await.unwrap();
        assert_eq!(answer.refusal(), (status, code.to_owned()), "{request}");
    }
}

/// A tunnel is asked for on the port that demands no session: never given.
#[tokio::test]
async fn the_attestation_port_opens_no_tunnel() {
    let proxy = Proxy::start(Setup::default()).await;
    let connect = b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n";
    let answer = ask(&proxy, connect).await.unwrap();
    assert!(
        matches!(answer.refusal(), (404 | 405, code) if code == "not-found" || code == "method-not-allowed")
    );
}

#[tokio::test]
async fn the_gateway_port_knows_connect_only() {
    let proxy = Proxy::start(Setup::default()).await;
    let session = proxy.admitted("payments-1.0").await;
    for method in ["POST", "GET", "OPTIONS"] {
        let request = format!("{method} {CHALLENGE_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
        let answer = session.dialer.ask(proxy.gateway, request.as_bytes()).await.unwrap();
        assert_eq!(answer.refusal(), (405, "method-not-allowed".into()), "{method}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_attestation_is_refused_and_burns_the_nonce() {
    let proxy = Proxy::start(Setup::default()).await;
    let honest =
        Attest { document: &[1], lease: Lease::MIN, boot_id: BootId::from_bytes([1; 16]), sequence: 1 };
    let mut trailing = honest.encode();
    trailing.push(0);
    for (what, body) in [
        ("nothing", Vec::new()),
        ("JSON", b"{\"document\": \"\"}".to_vec()),
        ("a trailing byte", trailing),
        ("an indefinite array", vec![0x9f, 0xff]),
        ("a huge announced array", vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
    ] {
        let mut enclave = proxy.enclave("payments-1.0").await;
        let challenge = enclave.attester.challenge().await.unwrap();
        let answer = enclave.attester.wire.post(ATTEST_PATH, &body).await.unwrap();
        assert_eq!(answer.refusal(), (400, "bad-request".into()), "{what}");
        let claim = enclave.attester.honest(&challenge, enclave.boot, 1);
        let answer = enclave.attester.answer(&claim, &claim.document(&enclave.nsm)).await.unwrap();
        assert_eq!(answer.refusal(), (409, "no-challenge".into()), "{what}");
    }
}

#[tokio::test]
async fn a_body_over_its_limit_is_refused_before_it_is_read() {
    let proxy = Proxy::start(Setup::default()).await;
    // Announced, with not a byte of it sent: the answer cannot have waited for it.
    let announced =
        format!("POST {ATTEST_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", MAX_ATTEST_BODY + 1);
    let answer = ask(&proxy, announced.as_bytes()).await.unwrap();
    assert_eq!(answer.refusal(), (413, "too-large".into()));

    let chunked = format!(
        "POST {ATTEST_PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{}",
        MAX_ATTEST_BODY + 1,
        "x".repeat(MAX_ATTEST_BODY + 1)
    );
    let answer = ask(&proxy, chunked.as_bytes()).await.unwrap();
    assert_eq!(answer.refusal(), (413, "too-large".into()));

    // A challenge has no body at all.
    let answer = proxy.enclave("x").await.attester.wire.post(CHALLENGE_PATH, b"x").await.unwrap();
    assert_eq!(answer.refusal(), (413, "too-large".into()));
    proxy.enclave("payments-1.0").await.attest(1, |_| ()).await.grant();
}

#[tokio::test]
async fn heads_without_end_are_cut_off() {
    let proxy = Proxy::start(Setup::default()).await;
    let session = proxy.admitted("payments-1.0").await;
    let long_line = format!("CONNECT {}:443 HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(64 * 1024));
    let many_lines = format!("CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n{}\r\n", "a: b\r\n".repeat(16 * 1024));
    for head in [&long_line, &many_lines] {
        let answer = session.dialer.ask(proxy.gateway, head.as_bytes()).await.unwrap();
        assert_eq!(answer.refusal(), (413, "too-large".into()));
    }
    for head in [long_line.replace("CONNECT", "POST"), many_lines.replace("CONNECT", "POST")] {
        // An answer of HTTP's own, or none: it was not worth one.
        if let Ok(answer) = ask(&proxy, head.as_bytes()).await {
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
    }
    proxy.enclave("payments-1.0").await.attest(1, |_| ()).await.grant();
}

/// RFC 9112 section 11.2: requests that two parsers could read differently.
#[tokio::test]
async fn the_gateway_takes_no_ambiguous_head() {
    let proxy = Proxy::start(Setup::default()).await;
    let session = proxy.admitted("payments-1.0").await;
    for (what, head) in [
        ("a body announced", "CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\ncontent-length: 5\r\n\r\n"),
        ("a chunked body", "CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("two hosts", "CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\nhost: x:443\r\n\r\n"),
        ("no HTTP", "\x16\x03\x01\r\n\r\n"),
    ] {
        let answer = session.dialer.ask(proxy.gateway, head.as_bytes()).await.unwrap();
        assert_eq!(answer.refusal(), (400, "bad-request".into()), "{what}");
    }
}

/// RFC 9110 section 9.3.6: the target of a CONNECT is its request target. Host is
/// somebody's word for it.
#[tokio::test]
async fn the_host_header_opens_nothing() {
    let mut upstream = countersign_e2e::Upstream::start().await;
    let proxy = Proxy::start(Setup::to(&[upstream.address])).await;
    let session = proxy.admitted("payments-1.0").await;
    let head = format!("CONNECT 127.0.0.1:1 HTTP/1.1\r\nhost: {}\r\n\r\n", upstream.address);
    let answer = session.dialer.ask(proxy.gateway, head.as_bytes()).await.unwrap();
    assert_eq!(answer.refusal(), (403, "destination-denied".into()));
    assert!(upstream.is_untouched());
}

/// What follows CONNECT before its answer belongs to the tunnel, or to nobody.
#[tokio::test]
async fn a_refused_connect_reads_no_second_request() {
    let proxy = Proxy::start(Setup::default()).await;
    let session = proxy.admitted("payments-1.0").await;
    let mut wire = Wire::new(session.dialer.dial(proxy.gateway).await.unwrap());
    let twice = "CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n".repeat(2);
    let answer = wire.exchange(twice.as_bytes()).await.unwrap();
    assert_eq!(answer.refusal(), (403, "destination-denied".into()));
    if let Ok(second) = wire.answer().await {
        assert_eq!(second.refusal(), (403, "destination-denied".into()));
    }
}

async fn ask(proxy: &Proxy, request: &[u8]) -> Result<Answer, Closed> {
    let key = Identity::p256();
    Wire::new(proxy.dialer(&key).dial(proxy.attestation).await.unwrap()).exchange(request).await
}
