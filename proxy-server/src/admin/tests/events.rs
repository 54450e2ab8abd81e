//! Listening to what happens.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::rig::{Call, Rig, Setup, pcrs};
use crate::admin::AdminConfig;

/// One listener, read event by event.
struct Ear {
    stream: TlsStream<TcpStream>,
    text: String,
}

#[derive(Debug)]
struct Heard {
    name: String,
    id: Option<String>,
    data: Value,
}

impl Ear {
    async fn open(rig: &Rig, token: &str, last: Option<&str>) -> Self {
        let mut stream = rig.connect(rig.tls()).await.unwrap();
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let head = format!(
            "GET /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{last}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Self { stream, text: String::new() }
    }

    /// The next event of this name; others are passed over.
    async fn hear(&mut self, name: &str) -> Heard {
        loop {
            let heard = self.next().await;
            if heard.name == name {
                return heard;
            }
        }
    }

    async fn next(&mut self) -> Heard {
        loop {
            // Chunk sizes stand between the events: lines of hexadecimal digits, which no event has.
            if let Some(at) = self.text.find("event: ")
                && let Some(length) = self.text[at..].find("\n\n")
            {
                let event = self.text[at..at + length].to_owned();
                self.text.drain(..at + length);
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let data = serde_json::from_str(&field("data: ").unwrap()).unwrap();
                return Heard { name: field("event: ").unwrap(), id: field("id: "), data };
            }
            let mut bytes = [0; 4096];
            let read = timeout(Duration::from_secs(30), self.stream.read(&mut bytes))
                .await
                .expect("nothing was heard")
                .unwrap();
            assert_ne!(read, 0, "the stream ended: {}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }
}

#[tokio::test]
async fn changes_are_heard_and_what_was_missed_too() {
    let rig = Rig::start("events").await;
    let admin = rig.admin().await;
    let mut ear = Ear::open(&rig, &admin, None).await;
    let hello = ear.next().await;
    assert_eq!((hello.name.as_str(), &hello.data), ("hello", &json!({ "heartbeat_seconds": 15 })));
    rig.workload(&admin, "payments", 1).await;
    let first = ear.hear("policy").await;
    assert_eq!((&first.data["workload"], &first.data["kind"]), (&json!("payments"), &json!("policy")));
    drop(ear);

    // Missed: told to whoever comes back with the last id.
    let body = json!({ "name": "v2", "pcrs": pcrs(2) });
    rig.call(Call::post("/v1/workloads/payments/measurements").with(&admin).json(&body))
        .await
        .expect(StatusCode::CREATED);
    let mut ear = Ear::open(&rig, &admin, hello.id.as_deref()).await;
    assert_eq!(ear.next().await.name, "hello");
    let mut measurements = Vec::new();
    while measurements.len() < 2 {
        let heard = ear.hear("policy").await;
        measurements.extend(heard.data["measurement"].as_str().map(str::to_owned));
    }
    assert_eq!(measurements, ["v1", "v2"]);

    // An id that says more than there is cannot be believed.
    let future = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, "policy=999");
    let mut ear = Ear::open(&rig, &admin, Some(&future)).await;
    assert_eq!((ear.next().await.name, ear.next().await.name), ("hello".to_owned(), "resync".to_owned()));
}

#[tokio::test]
async fn a_listener_hears_of_his_own_workloads() {
    let rig = Rig::start("events-scope").await;
    let admin = rig.admin().await;
    let team_b = rig.token("b", "viewer", "team-b").await;
    let mut ear = Ear::open(&rig, &team_b, None).await;
    ear.hear("hello").await;
    rig.workload(&admin, "team-a", 1).await;
    rig.workload(&admin, "team-b", 2).await;
    let heard = ear.next().await;
    assert_eq!((heard.name.as_str(), &heard.data["workload"]), ("policy", &json!("team-b")), "{heard:?}");
}

#[tokio::test]
async fn whoever_loses_his_token_hears_no_more() {
    let rig = Rig::start("events-revoked").await;
    let (token, record) = rig.token_made("short", "viewer", "*").await;
    let admin = rig.admin().await;
    let mut ear = Ear::open(&rig, &token, None).await;
    ear.hear("hello").await;
    rig.call(Call::delete(&format!("/v1/tokens/{}", record.id)).with(&admin))
        .await
        .expect(StatusCode::NO_CONTENT);
    let bye = ear.hear("bye").await;
    assert!(bye.data["reason"].as_str().unwrap().contains("credentials"), "{bye:?}");
}

#[tokio::test]
async fn there_are_so_many_listeners_and_no_more() {
    let config = AdminConfig { listeners: 1, ..AdminConfig::default() };
    let rig = Rig::with("events-most", Setup { config, ..Setup::default() }).await;
    let admin = rig.admin().await;
    let mut ear = Ear::open(&rig, &admin, None).await;
    ear.hear("hello").await;
    rig.call(Call::get("/v1/events").with(&admin)).await.problem(429, "too-many-listeners");
}

#[tokio::test]
async fn a_port_that_closes_waits_for_no_listener() {
    let rig = Rig::start("events-closing").await;
    let admin = rig.admin().await;
    let mut ear = Ear::open(&rig, &admin, None).await;
    ear.hear("hello").await;
    rig.stop.cancel();
    let bye = ear.hear("bye").await;
    assert_eq!(bye.data["reason"], "the proxy stops");
}
