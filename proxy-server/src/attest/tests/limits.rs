//! What is too large, too slow or not HTTP is bounded, and answered.

use countersign_protocol::{message::Challenge, wire};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    client::{Client, client_config, connect, read_answer},
    fixture::Fixture,
};

#[tokio::test]
async fn other_paths_and_methods_are_problems_too() {
    let fixture = Fixture::start("paths").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let answer = client.post("/v2/attest", b"").await;
    assert_eq!((answer.status, answer.problem().code.as_ref()), (404, "not-found"));
    let answer = client.send(b"GET /v1/attest HTTP/1.1\r\nhost: proxy\r\n\r\n").await;
    assert_eq!((answer.status, answer.problem().code.as_ref()), (405, "method-not-allowed"));
    client.attest(1).await.unwrap();
}

#[tokio::test]
async fn what_is_not_http_is_answered_as_a_problem_too() {
    let fixture = Fixture::start("not-http").await;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    let many: String = (0..40).map(|index| format!("x-{index}: y\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\n{many}\r\n");
    for (bytes, status, code) in [
        ("\0\0\0\0\r\n\r\n", 400, "bad-request"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "bad-request"),
        ("POST /v1/attest HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400, "bad-request"),
        (&long, 413, "too-large"),
        (&many, 413, "too-large"),
    ] {
        let mut client = Client::connect(&fixture, "payments-v1").await;
        let answer = client.send(bytes.as_bytes()).await;
        assert_eq!((answer.status, answer.problem().code.as_ref()), (status, code), "{bytes:.40}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_each_answered_up_to_the_one_that_is_not_http() {
    let fixture = Fixture::start("pipeline").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let good = "POST /nowhere HTTP/1.1\r\nhost: proxy\r\ncontent-length: 0\r\n\r\n";
    let mut statuses = Vec::new();
    let whole = format!("{good}{good}no http\r\n\r\n");
    client.stream.write_all(whole.as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    client.stream.read_to_end(&mut answers).await.unwrap();
    let answers = String::from_utf8(answers).unwrap();
    for line in answers.lines().filter(|line| line.contains("HTTP/1.1 ")) {
        statuses.push(line.rsplit("HTTP/1.1 ").next().unwrap().to_owned());
    }
    assert_eq!(statuses, ["404 Not Found", "404 Not Found", "400 Bad Request"]);
    assert!(answers.ends_with('}') && answers.contains("\"bad-request\""), "{answers}");
}

#[tokio::test]
async fn an_answer_does_not_wait_for_half_a_request_behind_it() {
    let fixture = Fixture::start("half").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let whole = "POST /nowhere HTTP/1.1\r\nhost: proxy\r\ncontent-length: 0\r\n\r\nPOST /no";
    let answer = client.send(whole.as_bytes()).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_unread() {
    let fixture = Fixture::start("large").await;
    let length = wire::MAX_ATTEST_BODY + 1;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    // Only the head is sent: nothing of the body is waited for.
    let head = format!("POST /v1/attest HTTP/1.1\r\nhost: proxy\r\ncontent-length: {length}\r\n\r\n");
    let answer = client.send(head.as_bytes()).await;
    assert_eq!((answer.status, answer.problem().code.as_ref()), (413, "too-large"));

    let mut client = Client::connect(&fixture, "payments-v1").await;
    let head = "POST /v1/attest HTTP/1.1\r\nhost: proxy\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{length:x}\r\n{}", "x".repeat(length));
    let answer = client.send(format!("{head}{chunk}").as_bytes()).await;
    assert_eq!((answer.status, answer.problem().code.as_ref()), (413, "too-large"));

    let mut client = Client::connect(&fixture, "payments-v1").await;
    let answer = client.post(wire::CHALLENGE_PATH, b"x").await;
    assert_eq!((answer.status, answer.problem().code.as_ref()), (413, "too-large"));
}

#[tokio::test]
async fn a_slow_body_ends_and_burns_the_nonce() {
    let fixture = Fixture::start("slow-body").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    client.challenge().await;
    let head = "POST /v1/attest HTTP/1.1\r\nhost: proxy\r\ncontent-length: 100\r\n\r\nabc";
    client.stream.write_all(head.as_bytes()).await.unwrap();
    client.stream.flush().await.unwrap();
    tokio::time::pause();
    let answer = read_answer(&mut client.stream).await;
    assert_eq!((answer.status, answer.problem().code.as_ref()), (408, "request-timeout"));
}

#[tokio::test]
async fn silence_and_a_slow_head_end_the_connection_and_others_do_not_notice() {
    let fixture = Fixture::start("slow-head").await;
    let mut silent = Client::connect(&fixture, "payments-v1").await;
    let mut slow = Client::connect(&fixture, "payments-v1").await;
    slow.stream.write_all(b"POST /v1/att").await.unwrap();
    let mut admitted = Client::connect(&fixture, "payments-v1").await;
    admitted.attest(1).await.unwrap();
    tokio::time::pause();
    for client in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        let end = client.stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty() && end.is_err() | (end.ok() == Some(0)), "closed without an answer");
    }
    tokio::time::resume();
    admitted.challenge().await;
}

#[tokio::test]
async fn http2_has_the_same_exchange() {
    let fixture = Fixture::start("h2").await;
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut config =
        client_config(&fixture).with_client_auth_cert(vec![certificate.der().clone()], private).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(&fixture, config).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);

    let (status, body) = post(&mut requests, wire::CHALLENGE_PATH, b"").await;
    assert_eq!(status, 200);
    Challenge::decode(&body).unwrap();
    let (status, body) = post(&mut requests, wire::ATTEST_PATH, b"junk").await;
    let problem: countersign_protocol::Problem = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, problem.code.as_ref()), (400, "bad-request"));
}

async fn post(
    requests: &mut h2::client::SendRequest<bytes::Bytes>,
    path: &str,
    body: &[u8],
) -> (u16, Vec<u8>) {
    let request = http::Request::post(format!("https://localhost{path}")).body(()).unwrap();
    let (answer, mut send) = requests.send_request(request, false).unwrap();
    send.send_data(bytes::Bytes::copy_from_slice(body), true).unwrap();
    let answer = answer.await.unwrap();
    let status = answer.status().as_u16();
    let mut stream = answer.into_body();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        body.extend_from_slice(&data.unwrap());
    }
    (status, body)
}
