//! What is carried arrives, both ways, with its ends.

use std::{io::ErrorKind, sync::Arc, time::Duration};

use countersign_enclave::{
    egress::{Egress, EgressError, Way},
    host::{IngressRoute, Rules},
    relay::{Early, End, Side, relay},
    transport::Stream,
};
use countersign_protocol::Destination;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
    sync::Barrier,
    task::JoinHandle,
};

use crate::rig::{Dir, FakeNames, Rig, echo};

/// Opens a destination as every entrance does.
async fn open(egress: &Egress, destination: &str) -> Stream {
    let destination: Destination = destination.parse().unwrap();
    match egress.open(&destination).await.unwrap().into_inner() {
        Way::Plain(stream) => stream,
        other => panic!("{other:?}"),
    }
}

/// An application in the enclave: its socket, and the relay of the entrance it came in by.
async fn application(egress: &Egress, destination: &str) -> (TcpStream, JoinHandle<End>) {
    let far = open(egress, destination).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (application, near) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let near = Stream::Tcp(near.unwrap().0);
    let relayed = tokio::spawn(async move { relay(near, far, Early::default(), None).await.end });
    (application.unwrap(), relayed)
}

/// Bytes whose order cannot be mistaken.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

#[tokio::test]
async fn a_name_is_resolved_judged_dialled_and_carried() {
    let upstream = echo("127.0.0.1:0").await;
    let port = upstream.port();
    let names = FakeNames::of(&[("echo.example", &["127.0.0.1"])]);
    let rules = [format!("echo.example:{port}"), format!("127.0.0.1:{port}")];
    let rig = Rig::with_rules(&rules.each_ref().map(String::as_str), names).await;
    let egress = rig.egress(&["echo.example", "127.0.0.0/8"]);
    // The second time from what is known and over the trunk that stands.
    for _ in 0..2 {
        let (mut from, mut to) = tokio::io::split(open(&egress, &format!("echo.example:{port}")).await);
        let sent = pattern(3 << 20);
        let expected = sent.clone();
        let sending = tokio::spawn(async move {
            to.write_all(&sent).await.unwrap();
            to.shutdown().await.unwrap();
        });
        let mut back = Vec::new();
        from.read_to_end(&mut back).await.unwrap();
        assert!(back == expected, "{} bytes came back", back.len());
        sending.await.unwrap();
    }
}

#[tokio::test]
async fn the_parents_own_port_is_reached_as_host() {
    let port = echo("127.0.0.1:0").await.port();
    let rig = Rig::with_rules(&[&format!("host:{port}")], FakeNames::of(&[])).await;
    let mut stream = open(&rig.egress(&["host"]), &format!("host:{port}")).await;
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, "hello");
}

/// Servers such as SSH and MySQL speak first: what they say must not be lost with the head before it.
#[tokio::test]
async fn who_speaks_first_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"SSH-2.0-test\r\n\r\n").await.unwrap();
        }
    });
    let rig = Rig::unlimited(FakeNames::of(&[])).await;
    let egress = rig.egress(&["host"]);
    for _ in 0..20 {
        let mut stream = open(&egress, &format!("host:{port}")).await;
        let mut greeting = String::new();
        stream.read_to_string(&mut greeting).await.unwrap();
        assert_eq!(greeting, "SSH-2.0-test\r\n\r\n");
    }
}

#[tokio::test]
async fn either_side_may_end_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = format!("host:{}", listener.local_addr().unwrap().port());
    let rig = Rig::unlimited(FakeNames::of(&[])).await;
    let egress = rig.egress(&["host"]);

    let (mut application, relayed) = self::application(&egress, &destination).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    application.write_all(b"question").await.unwrap();
    application.shutdown().await.unwrap();
    let mut question = String::new();
    upstream.read_to_string(&mut question).await.unwrap();
    upstream.write_all(b"answer").await.unwrap();
    drop(upstream);
    let mut answer = String::new();
    application.read_to_string(&mut answer).await.unwrap();
    assert_eq!((&*question, &*answer), ("question", "answer"));
    assert!(matches!(relayed.await.unwrap(), End::Finished));

    let (mut application, relayed) = self::application(&egress, &destination).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    upstream.write_all(b"news").await.unwrap();
    upstream.shutdown().await.unwrap();
    let mut news = String::new();
    application.read_to_string(&mut news).await.unwrap();
    application.write_all(b"thanks").await.unwrap();
    drop(application);
    let mut thanks = String::new();
    upstream.read_to_string(&mut thanks).await.unwrap();
    assert_eq!((&*news, &*thanks), ("news", "thanks"));
    assert!(matches!(relayed.await.unwrap(), End::Finished));
}

#[tokio::test]
async fn a_reset_stays_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = format!("host:{}", listener.local_addr().unwrap().port());
    let rig = Rig::unlimited(FakeNames::of(&[])).await;
    let egress = rig.egress(&["host"]);

    let (mut application, _relayed) = self::application(&egress, &destination).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    upstream.write_all(b"half of the ans").await.unwrap();
    application.read_exact(&mut [0; 15]).await.unwrap();
    Side::abort(&Stream::Tcp(upstream));
    assert_eq!(application.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);

    let (application, _relayed) = self::application(&egress, &destination).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    Side::abort(&Stream::Tcp(application));
    assert_eq!(upstream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_at_once() {
    // Client, enclave's end, host's end and upstream are one process here.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let port = echo("127.0.0.1:0").await.port();
    let names = FakeNames::of(&[("echo.example", &["127.0.0.1"])]);
    let rules = [format!("echo.example:{port}"), format!("127.0.0.1:{port}")];
    let rig = Rig::with_rules(&rules.each_ref().map(String::as_str), names).await;
    let egress = Arc::new(rig.egress(&["echo.example", "127.0.0.0/8"]));
    let all_open = Arc::new(Barrier::new(COUNT));
    let connections: Vec<_> = (0..COUNT)
        .map(|number| {
            let (egress, all_open) = (egress.clone(), all_open.clone());
            tokio::spawn(async move {
                let mut stream = open(&egress, &format!("echo.example:{port}")).await;
                all_open.wait().await;
                let sent = format!("connection {number}");
                stream.write_all(sent.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                let mut back = String::new();
                stream.read_to_string(&mut back).await.unwrap();
                assert_eq!(back, sent);
            })
        })
        .collect();
    for connection in connections {
        connection.await.unwrap();
    }
}

const COUNT: usize = 2000;

#[tokio::test]
async fn callers_reach_the_enclave_and_a_stalled_one_stops_nobody() {
    let dir = Dir::new();
    let inside = dir.0.join("enclave.sock");
    let enclave = UnixListener::bind(&inside).unwrap();
    let port = free_port().await;
    let route: IngressRoute = format!("{port}=unix:{}", inside.display()).parse().unwrap();
    let _rig =
        Rig::start(dir, Rules::Unlimited, FakeNames::of(&[]), |options| options.ingress = vec![route]).await;

    let _silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (_silent_inside, _) = enclave.accept().await.unwrap();
    for address in ["127.0.0.1", "::1"] {
        let mut caller = TcpStream::connect((address, port)).await.unwrap();
        let (mut application, _) = enclave.accept().await.unwrap();
        caller.write_all(b"question").await.unwrap();
        caller.shutdown().await.unwrap();
        let mut question = String::new();
        application.read_to_string(&mut question).await.unwrap();
        application.write_all(b"answer").await.unwrap();
        application.shutdown().await.unwrap();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.unwrap();
        assert_eq!((&*question, &*answer), ("question", "answer"), "{address}");
    }
    // The enclave is gone: a caller sees it at once.
    drop(enclave);
    let mut caller = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    assert_eq!(caller.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

async fn free_port() -> u16 {
    TcpListener::bind("[::]:0").await.unwrap().local_addr().unwrap().port()
}

/// The time to drain: what is open goes on, what is new is not taken, and in the end all is cut.
#[tokio::test]
async fn a_stop_lets_what_is_open_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = format!("host:{}", listener.local_addr().unwrap().port());
    let dir = Dir::new();
    let rig = Rig::start(dir, Rules::Unlimited, FakeNames::of(&[]), |options| {
        options.drain = Duration::from_secs(3600);
    })
    .await;
    // It keeps connections open ahead, and they keep nobody waiting.
    let egress = rig.egress(&["host"]);
    let mut stream = open(&egress, &destination).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    rig.stop.cancel();
    // The trunk carries what it has, and takes nothing more.
    match egress.open(&destination.parse().unwrap()).await {
        Err(EgressError::Host(problem)) => assert_eq!(problem.code, "host-away"),
        other => panic!("{other:?}"),
    }
    stream.write_all(b"late").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut late = String::new();
    upstream.read_to_string(&mut late).await.unwrap();
    assert_eq!(late, "late");
    drop(upstream);
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    drop(stream);
    rig.running.await.unwrap();
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = format!("host:{}", listener.local_addr().unwrap().port());
    let rig = Rig::unlimited(FakeNames::of(&[])).await;
    let (mut application, relayed) = application(&rig.egress(&["host"]), &destination).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    rig.stop.cancel();
    assert_eq!(upstream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(application.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(matches!(relayed.await.unwrap(), End::Far(_)));
    rig.running.await.unwrap();
}
