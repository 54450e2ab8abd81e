//! Trunks from outside: frames made by hand, as a hostile enclave makes them.

use countersign_enclave::host::Rules;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::rig::{Dir, FakeNames, Rig, code_of, echo};

const TRUNK: &str =
    "GET /v1/trunk HTTP/1.1\r\nHost: host\r\nConnection: Upgrade\r\nUpgrade: countersign-trunk/1\r\n\r\n";

const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: countersign-trunk/1\r\n\r\n";

const OPEN: u8 = 0;
const DATA: u8 = 1;
const END: u8 = 2;
const RESET: u8 = 3;

fn frame(kind: u8, lane: u8, data: &str) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], &[0, 0, 0, lane], data.as_bytes()].concat()
}

/// Asks for a trunk, with `early` in the same write.
async fn asked(rig: &Rig, early: &[u8]) -> UnixStream {
    let mut stream = UnixStream::connect(rig.dir.socket()).await.unwrap();
    stream.write_all(&[TRUNK.as_bytes(), early].concat()).await.unwrap();
    stream
}

async fn trunk(rig: &Rig, early: &[u8]) -> UnixStream {
    let mut stream = asked(rig, early).await;
    let mut head = vec![0; SWITCHED.len()];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(String::from_utf8(head).unwrap(), SWITCHED);
    stream
}

/// What is said of a lane until its end, and which end that is.
async fn heard(stream: &mut UnixStream, of: u8) -> (String, u8) {
    let mut heard = Vec::new();
    loop {
        let mut head = [0; 8];
        stream.read_exact(&mut head).await.unwrap();
        let [kind, a, b, c, 0, 0, 0, lane] = head else { panic!("{head:?}") };
        let mut data = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if kind == DATA {
            stream.read_exact(&mut data).await.unwrap();
        }
        match kind {
            DATA if lane == of => heard.extend(data),
            END | RESET if lane == of => return (String::from_utf8(heard).unwrap(), kind),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_trunk_without_its_fields_is_refused() {
    let rig = Rig::unlimited(FakeNames::of(&[])).await;
    for fields in ["", "Connection: Upgrade\r\n", "Upgrade: countersign-trunk/1\r\n"] {
        let answer = rig.say(&format!("GET /v1/trunk HTTP/1.1\r\nHost: host\r\n{fields}\r\n")).await;
        assert_eq!(code_of(&answer), (400, "bad-request".to_owned()), "{fields:?}");
    }
}

#[tokio::test]
async fn a_lane_is_no_trunk() {
    let rig = Rig::unlimited(FakeNames::of(&[])).await;
    let mut trunk = trunk(&rig, b"").await;
    trunk.write_all(&[frame(OPEN, 1, ""), frame(DATA, 1, TRUNK)].concat()).await.unwrap();
    let (answer, end) = heard(&mut trunk, 1).await;
    assert_eq!((code_of(&answer), end), ((400, "bad-request".to_owned()), END));
}

#[tokio::test]
async fn frames_may_come_with_the_question_for_the_trunk() {
    let port = echo("127.0.0.1:0").await.port();
    let rig = Rig::unlimited(FakeNames::of(&[])).await;
    let connect = format!("CONNECT host:{port} HTTP/1.1\r\nHost: host\r\n\r\nhello");
    let early = [frame(OPEN, 1, ""), frame(DATA, 1, &connect), frame(END, 1, "")].concat();
    // Whole, and with a frame that is broken off.
    for len in [early.len(), 3, 11] {
        let (first, rest) = early.split_at(len);
        let mut trunk = trunk(&rig, first).await;
        trunk.write_all(rest).await.unwrap();
        let answer = "HTTP/1.1 200 OK\r\nCountersign-Address: 127.0.0.1\r\n\r\nhello".to_owned();
        assert_eq!(heard(&mut trunk, 1).await, (answer, END));
    }
}

/// Each lane takes a place, and the trunk none.
#[tokio::test]
async fn lanes_over_the_limit_are_told_so() {
    let rig = Rig::start(Dir::new(), Rules::Unlimited, FakeNames::of(&[]), |options| options.connections = 1);
    let rig = rig.await;
    let mut trunk = trunk(&rig, &[frame(OPEN, 1, ""), frame(OPEN, 2, "")].concat()).await;
    let (answer, end) = heard(&mut trunk, 2).await;
    assert_eq!((code_of(&answer), end), ((503, "overloaded".to_owned()), END));
}

/// Nor is it told to any number of them at a time: whoever is told holds a connection, and no place.
#[tokio::test]
async fn trunks_over_the_limit_are_told_so_a_few_at_a_time() {
    let rig = Rig::unlimited(FakeNames::of(&[])).await;
    let mut trunks = Vec::new();
    for _ in 0..64 {
        trunks.push(trunk(&rig, b"").await);
    }
    let mut told = Vec::new();
    for _ in 0..64 {
        let mut stream = asked(&rig, b"").await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(code_of(&answer), (503, "overloaded".to_owned()));
        told.push(stream);
    }
    assert_eq!(asked(&rig, b"").await.read(&mut [0]).await.unwrap(), 0);
    // A place that is free again is anybody's.
    drop((told, trunks.pop()));
    loop {
        let mut answer = vec![0; SWITCHED.len()];
        let mut stream = asked(&rig, b"").await;
        if stream.read_exact(&mut answer).await.is_ok() && answer == SWITCHED.as_bytes() {
            break;
        }
    }
}
