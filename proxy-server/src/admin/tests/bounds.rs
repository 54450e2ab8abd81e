//! Whoever asks for too much, or too slowly.

use std::time::Duration;

use http::StatusCode;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::rig::{Call, Rig, Setup};
use crate::admin::AdminConfig;

fn setup(config: AdminConfig) -> Setup {
    Setup { config, ..Setup::default() }
}

/// Reads to the end, and gives what came.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_large_body_is_refused_and_its_sender_hears_why() {
    let rig = Rig::start("large").await;
    let admin = rig.admin().await;
    let mut stream = rig.connect(rig.tls()).await.unwrap();
    let head = format!(
        "POST /v1/workloads HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {admin}\r\ncontent-type: application/json\r\ncontent-length: 1048577\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("too-large"), "{answer}");

    // Whoever sends all of it before he reads hears it too.
    let big = format!("{{\"name\":\"{}\"}}", "a".repeat(2 * 1024 * 1024));
    rig.call(Call::post("/v1/workloads").with(&admin).text(&big)).await.problem(413, "too-large");
    // So does he whose body nobody looked at, for what its head says.
    rig.call(Call::post("/v1/workloads").text(&big)).await.problem(401, "no-credentials");
    let headed =
        Call::put("/v1/workloads/a").with(&admin).header("if-match", "0").header("connection", "close");
    rig.call(headed.text(&big)).await.problem(400, "bad-header");
    let big = format!("{{\"document\":\"{}\"}}", "A".repeat(70_000));
    rig.call(Call::post("/v1/explain").with(&admin).text(&big)).await.problem(413, "too-large");
}

#[tokio::test]
async fn a_head_that_never_ends_is_no_request() {
    let config = AdminConfig { idle: Duration::from_millis(200), connections: 1, ..AdminConfig::default() };
    let rig = Rig::with("slowloris", setup(config)).await;
    let mut slow = rig.connect(rig.tls()).await.unwrap();
    // The one connection there may be is held by somebody who sends a byte now and then, but never the last.
    let sending = tokio::spawn(async move {
        let mut sent = 0_u32;
        let _ = slow.write_all(b"GET /healthz HTTP/1.1\r\nx: ").await;
        while slow.write_all(b"y").await.is_ok() && slow.flush().await.is_ok() {
            sent += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sent
    });
    rig.call(Call::get("/healthz")).await.expect(StatusCode::OK);
    assert!(sending.await.unwrap() > 0);
}

/// HTTP/2 lets a reader leave his window shut. The connection's place is given back all the same.
#[tokio::test]
async fn a_reader_who_takes_no_answer_does_not_keep_his_connection() {
    let short = Duration::from_secs(1);
    let config = AdminConfig { idle: short, deadline: short, connections: 1, ..AdminConfig::default() };
    let rig = Rig::with("shut-window", setup(config)).await;
    let mut shut = rig.shut_window().await;
    let _answer = shut.send_request(Call::get("/healthz").request_of_two()).await.unwrap();
    // The one connection there may be is his, until he has taken nothing for long enough.
    let call = rig.call(Call::get("/healthz"));
    timeout(Duration::from_secs(20), call).await.expect("his place").expect(StatusCode::OK);
}

/// Nor does he keep the place of a listener, or of an export.
#[tokio::test]
async fn a_reader_who_takes_no_answer_keeps_no_place() {
    let config = AdminConfig {
        stalled: Duration::from_millis(200),
        listeners: 1,
        exports: 1,
        ..AdminConfig::default()
    };
    let rig = Rig::with("shut-places", setup(config)).await;
    let admin = rig.admin().await;
    let mut shut = rig.shut_window().await;
    for (path, refused) in [("/v1/events", 429), ("/v1/audit/export", 503)] {
        let call = || Call::get(path).with(&admin);
        let _answer = shut.send_request(call().request_of_two()).await.unwrap();
        let place = async {
            loop {
                let stream = rig.connect(rig.tls()).await.unwrap();
                let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                match sender.send_request(call().request()).await.unwrap().status().as_u16() {
                    200 => break,
                    status => assert_eq!(status, refused),
                }
            }
        };
        timeout(Duration::from_secs(20), place).await.expect("his place");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let config = AdminConfig { deadline: Duration::from_millis(100), ..AdminConfig::default() };
    let rig = Rig::with("slow-body", setup(config)).await;
    let admin = rig.admin().await;
    let mut stream = rig.connect(rig.tls()).await.unwrap();
    let head = format!(
        "POST /v1/workloads HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {admin}\r\ncontent-type: application/json\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too-slow"), "{answer}");
}

#[tokio::test]
async fn one_request_too_many_is_told_to_come_back() {
    let config = AdminConfig { requests: 0, ..AdminConfig::default() };
    let rig = Rig::with("overloaded", setup(config)).await;
    let reply = rig.call(Call::get("/healthz")).await.problem(503, "overloaded");
    assert_eq!(reply.header("retry-after"), "1");
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let rig = Rig::start("head").await;
    let reply = rig.call(Call::get("/healthz").header("x-long", &"y".repeat(100 * 1024))).await;
    assert_eq!(reply.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}
