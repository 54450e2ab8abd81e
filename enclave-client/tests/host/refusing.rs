//! What must not pass does not, and the caller is told why.

use std::net::SocketAddr;

use countersign_enclave::{
    egress::{Egress, EgressError, HostLink},
    host::Rules,
    transport::Dial,
};
use countersign_protocol::Destination;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
};

use crate::rig::{Dir, FakeNames, Rig, code_of, echo, egress};

async fn refused(egress: &Egress, destination: &str) -> (u16, String) {
    let destination: Destination = destination.parse().unwrap();
    match egress.open(&destination).await.unwrap_err() {
        EgressError::Host(problem) => (problem.status, problem.code.into_owned()),
        EgressError::Denied { .. } => (403, "denied-inside".to_owned()),
        other => panic!("{other:?}"),
    }
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn connect(destination: &str, addresses: &str) -> String {
    let field =
        if addresses.is_empty() { String::new() } else { format!("Countersign-Addresses: {addresses}\r\n") };
    format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n{field}\r\n")
}

#[tokio::test]
async fn each_failure_has_its_own_code() {
    let names = FakeNames::of(&[("a.example", &["127.0.0.1"]), ("imds.example", &["169.254.169.254"])]);
    let rig = Rig::with_rules(&["*:443", "missing.example:80", "host:1"], names).await;
    let egress = rig.egress(&["**", "host", "192.0.2.0/24"]);
    for (destination, expected) in [
        ("a.example:444", is(403, "egress-rule-set")),
        ("192.0.2.1:444", is(403, "egress-rule-set")),
        ("host:443", is(403, "egress-rule-set")),
        ("a.example:443", is(403, "address-denied")),
        ("imds.example:443", is(403, "address-denied")),
        ("missing.example:80", is(502, "resolve-failed")),
        ("host:1", is(502, "unreachable")),
    ] {
        assert_eq!(refused(&egress, destination).await, expected, "{destination}");
    }
}

#[tokio::test]
async fn a_name_that_leads_to_a_special_address_is_refused_on_both_sides() {
    let port = echo("127.0.0.1:0").await.port();
    let names = || FakeNames::of(&[("a.example", &["127.0.0.1"])]);
    let destination = format!("a.example:{port}");
    let all_port = format!("*:{port}");
    let own = [all_port.as_str(), &format!("127.0.0.1:{port}")].map(str::to_owned);

    // The parent allows it, the enclave's policy does not: nothing is dialled.
    let rig = Rig::with_rules(&own.each_ref().map(String::as_str), names()).await;
    assert_eq!(refused(&rig.egress(&["**"]), &destination).await, is(403, "denied-inside"));
    // The enclave allows it, the parent's rule sets do not.
    let rig = Rig::with_rules(&[&all_port], names()).await;
    assert_eq!(refused(&rig.egress(&["**", "127.0.0.0/8"]), &destination).await, is(403, "address-denied"));
    assert_eq!(code_of(&rig.say(&connect(&destination, "127.0.0.1")).await), is(403, "address-denied"));
    // Nor does a parent without any limit.
    let rig = Rig::unlimited(names()).await;
    assert_eq!(refused(&rig.egress(&["**", "127.0.0.0/8"]), &destination).await, is(403, "address-denied"));
    assert_eq!(code_of(&rig.say(&connect(&destination, "127.0.0.1")).await), is(403, "address-denied"));
}

/// The enclave's own rules do not help it: the parent decides whom a name means.
#[tokio::test]
async fn an_enclave_cannot_give_a_name_an_address_that_it_does_not_have() {
    let port = echo("127.0.0.1:0").await.port();
    let names = FakeNames::of(&[("a.example", &["192.0.2.1", "2001:db8::1"])]);
    let rig = Rig::with_rules(&[&format!("a.example:{port}"), &format!("127.0.0.1:{port}")], names).await;
    let destination = format!("a.example:{port}");
    for addresses in ["127.0.0.1", "192.0.2.2, 127.0.0.1", "::1"] {
        let answer = code_of(&rig.say(&connect(&destination, addresses)).await);
        assert_eq!(answer, is(409, "addresses-differ"), "{addresses}");
    }
}

/// Between the answer that was judged and the connect the name moves to the parent's loopback.
#[tokio::test]
async fn the_address_that_was_judged_is_the_one_that_is_dialled() {
    let judged = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = judged.local_addr().unwrap().port();
    let trap = TcpListener::bind(SocketAddr::from(([127, 0, 0, 3], port))).await.unwrap();
    let names = FakeNames::of(&[("a.example", &["127.0.0.2"]), ("a.example", &["127.0.0.3"])]);
    let rules = [format!("a.example:{port}"), format!("127.0.0.2:{port}"), format!("127.0.0.3:{port}")];
    let rig = Rig::with_rules(&rules.each_ref().map(String::as_str), names).await;
    let egress = rig.egress(&["a.example", "127.0.0.2"]);
    let connection = egress.open(&format!("a.example:{port}").parse().unwrap()).await.unwrap();
    judged.accept().await.unwrap();
    drop(connection);
    // Had it been dialled, that would have been before the open was answered.
    trap.into_std().unwrap().accept().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_says_nothing_times_out() {
    // A listener whose queue is full drops what comes: as a firewall does.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
        let _ = socket.connect(&address.into());
        waiting.push(socket);
    }
    let rig = Rig::unlimited(FakeNames::of(&[])).await;
    let timed_out = refused(&rig.egress(&["host"]), &format!("host:{}", address.port())).await;
    assert_eq!(timed_out, is(504, "connect-timeout"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_answered_and_holds_up_nobody() {
    let port = echo("127.0.0.1:0").await.port();
    let rig = Rig::unlimited(FakeNames::of(&[])).await;
    let mut slow = UnixStream::connect(rig.dir.socket()).await.unwrap();
    slow.write_all(b"CONNECT host:1 HTTP/1.1\r\nHo").await.unwrap();
    rig.egress(&["host"]).open(&format!("host:{port}").parse().unwrap()).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert_eq!(code_of(&answer), is(408, "request-timeout"));
    // One that says nothing at all, as a connection opened ahead does, is closed without a word.
    let mut silent = UnixStream::connect(rig.dir.socket()).await.unwrap();
    assert_eq!(silent.read_to_end(&mut Vec::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let rig = Rig::unlimited(FakeNames::of(&[("a.example", &["192.0.2.1"])])).await;
    let long = format!("CONNECT host:1 HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(8192));
    let hundred = "GET /v1/resolve?destination=a.example:1 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    for (request, expected) in [
        (long.as_str(), is(413, "too-large")),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", is(404, "not-found")),
        ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", is(405, "method-not-allowed")),
        ("CONNECT host HTTP/1.1\r\nHost: a\r\n\r\n", is(400, "bad-destination")),
        ("CONNECT a.example:1 HTTP/1.1\r\nHost: a\r\n\r\n", is(400, "bad-request")),
        ("\r\n\r\n", is(400, "bad-request")),
        ("CONNECT 0.0.0.0:1 HTTP/1.1\r\nHost: a\r\n\r\n", is(403, "address-denied")),
    ] {
        assert_eq!(code_of(&rig.say(request).await), expected, "{request:?}");
    }
    let answers = rig.say(&hundred).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 16);
    assert!(answers.contains("too many requests on one connection"), "{answers}");
}

#[tokio::test]
async fn over_the_limit_it_says_so() {
    let dir = Dir::new();
    let rig = Rig::start(dir, Rules::Unlimited, FakeNames::of(&[]), |options| options.connections = 1).await;
    let _one = UnixStream::connect(rig.dir.socket()).await.unwrap();
    assert_eq!(code_of(&rig.say("").await), is(503, "overloaded"));
}

#[tokio::test(start_paused = true)]
async fn a_host_half_that_is_away_is_said_to_be() {
    let dir = Dir::new();
    let egress = egress(&dir.socket(), &["host"]);
    assert_eq!(refused(&egress, "host:1").await, is(503, "host-away"));
    // It was a dead socket; now nobody is behind it.
    drop(std::os::unix::net::UnixListener::bind(dir.socket()).unwrap());
    assert_eq!(refused(&egress, "host:1").await, is(503, "host-away"));
}

/// The proxies' own ports are reached by name too, so that the parent's rule sets can name them.
#[tokio::test]
async fn a_proxy_is_dialled_under_its_name() {
    let port = echo("127.0.0.1:0").await.port();
    let names = FakeNames::of(&[("proxy.example", &["127.0.0.1"])]);
    let rig = Rig::with_rules(&[&format!("proxy.example:{port}"), &format!("127.0.0.1:{port}")], names).await;
    let half = HostLink::new(Dial::Unix(rig.dir.socket()));
    let proxy = Dial::Tcp(format!("proxy.example:{port}").parse().unwrap()).through(&half);
    let address = proxy.resolve().await.unwrap().remove(0);
    assert_eq!(address.to_string(), format!("proxy.example:{port} at 127.0.0.1 through the host half"));
    let mut stream = address.connect().await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, "hello");
    let elsewhere = address.with_port(1).unwrap().connect().await.unwrap_err();
    let why = std::error::Error::source(&elsewhere).unwrap().to_string();
    assert!(why.contains("EgressRuleSets"), "{why}");
}
