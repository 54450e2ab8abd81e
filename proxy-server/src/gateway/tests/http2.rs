//! CONNECT over HTTP/2: many tunnels on one connection.

use std::time::Duration;

use bytes::Bytes;
use countersign_protocol::Problem;
use h2::{
    Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{Method, Request, Uri};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

use super::rig::{Enclave, Rig, destination, pattern};
use crate::{gateway::GatewayConfig, policy::Limits, session::EndReason};

#[tokio::test]
async fn many_tunnels_share_a_connection() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let (mut requests, _connection) = open(&rig, &rig.enclave(60)).await;
    let mut streams = Vec::new();
    for number in 0..50u8 {
        let (mut to, mut from) = tunnel(&mut requests, &target).await;
        let (mut server, _) = listener.accept().await.unwrap();
        to.send_data(Bytes::from(vec![number; 10]), false).unwrap();
        let mut heard = [0; 10];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [number; 10]);
        server.write_all(&[!number; 5]).await.unwrap();
        assert_eq!(from.data().await.unwrap().unwrap(), vec![!number; 5]);
        streams.push((to, from, server));
    }
    assert_eq!(rig.sessions.list()[0].tunnels, 50);
}

#[tokio::test]
async fn each_end_travels_through() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let (mut requests, _connection) = open(&rig, &rig.enclave(60)).await;
    let (mut to, from) = tunnel(&mut requests, &target).await;
    let (mut server, _) = listener.accept().await.unwrap();
    to.send_data(Bytes::from_static(b"question"), true).unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    assert_eq!(drain(from).await.unwrap(), b"answer");

    let (mut to, from) = tunnel(&mut requests, &target).await;
    let (mut server, _) = listener.accept().await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(drain(from).await.unwrap(), b"");
    to.send_data(Bytes::from_static(b"late"), true).unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_goes_both_ways_at_the_same_time_unchanged() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let (mut requests, _connection) = open(&rig, &rig.enclave(60)).await;
    let (to, from) = tunnel(&mut requests, &target).await;
    let (server, _) = listener.accept().await.unwrap();
    let (up, down) = (pattern(8 << 20, 1), pattern(8 << 20, 2));
    let (mut server_reads, mut server_writes) = server.into_split();
    let sends_down = async {
        server_writes.write_all(&down).await.unwrap();
        server_writes.shutdown().await.unwrap();
    };
    let mut heard_up = Vec::new();
    let hears_up = async { server_reads.read_to_end(&mut heard_up).await.unwrap() };
    let (_, _, heard_down, _) =
        tokio::join!(send(to, Bytes::from(up.clone())), sends_down, drain(from), hears_up);
    assert!(heard_up == up);
    assert!(heard_down.unwrap() == down);
}

#[tokio::test]
async fn refusals_are_problems_and_leave_the_connection() {
    let (_listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let (mut requests, _connection) = open(&rig, &rig.enclave(60)).await;
    for (request, code) in [
        (connect_to("elsewhere.example:443"), "destination-denied"),
        (connect_to("nonsense:99999"), "bad-destination"),
        (Request::get("https://gateway.test/").body(()).unwrap(), "method-not-allowed"),
    ] {
        let (problem, status) = refused(&mut requests, request).await;
        assert_eq!((problem.code.as_ref(), problem.status), (code, status));
    }
    let _opens = tunnel(&mut requests, &target).await;
}

#[tokio::test]
async fn without_a_record_every_stream_is_refused() {
    let rig = Rig::new(&["a.test:1"]).await;
    let enclave = rig.enclave(60);
    rig.sessions.end(&enclave.session.id(), EndReason::EndedByAdmin);
    let (mut requests, _connection) = open(&rig, &enclave).await;
    let (problem, _) = refused(&mut requests, connect_to("a.test:1")).await;
    assert_eq!(problem.code, "session-ended");
}

#[tokio::test]
async fn a_cut_breaks_streams_resets_destinations_and_ends_the_connection() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let enclave = rig.enclave(60);
    let (mut requests, connection) = open(&rig, &enclave).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let (to, from) = tunnel(&mut requests, &target).await;
        streams.push((to, from, listener.accept().await.unwrap().0));
    }
    let ended = rig.sessions.end(&enclave.session.id(), EndReason::MeasurementRevoked);
    assert_eq!((ended.sessions, ended.tunnels), (1, 20));
    for (_to, from, mut server) in streams {
        // The connection's end, or the stream's own reset where that was faster: never an orderly end.
        let error = drain(from).await.unwrap_err();
        assert!(error.is_io() || error.reason() == Some(Reason::CANCEL), "{error}");
        let error = server.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    let error = connection.await.unwrap().unwrap_err();
    assert_eq!((error.is_go_away(), error.reason()), (true, Some(Reason::CANCEL)), "{error}");
    assert_eq!(enclave.session.view().tunnels, 0);
}

#[tokio::test]
async fn a_cut_reaches_a_tunnel_blocked_in_a_write_to_a_client_that_does_not_read() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let enclave = rig.enclave(60);
    let tls = rig.connect(&enclave, b"h2").await.unwrap();
    let (mut requests, mut connection) = h2::client::handshake(tls).await.unwrap();
    // Once the tunnel stands, the client's connection is held and no more polled.
    let (_to, _from) = tokio::select! {
        streams = tunnel(&mut requests, &target) => streams,
        _ = &mut connection => panic!("the connection ended"),
    };
    let (mut server, _) = listener.accept().await.unwrap();
    let block = pattern(64 * 1024, 9);
    let blocked = async { while server.write_all(&block).await.is_ok() {} };
    let _ = tokio::time::timeout(Duration::from_millis(300), blocked).await;
    rig.sessions.end(&enclave.session.id(), EndReason::EndedByAdmin);
    let error = server.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_orderly_end() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let (mut requests, connection) = open(&rig, &rig.enclave(60)).await;
    let (_to, _from) = tunnel(&mut requests, &target).await;
    let (mut server, _) = listener.accept().await.unwrap();
    connection.abort();
    let error = server.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_by_the_client_resets_the_destination_only_of_that_stream() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let (mut requests, _connection) = open(&rig, &rig.enclave(60)).await;
    let (mut to, _from) = tunnel(&mut requests, &target).await;
    let (mut server, _) = listener.accept().await.unwrap();
    let (mut other, _other_from) = tunnel(&mut requests, &target).await;
    let (mut other_server, _) = listener.accept().await.unwrap();
    to.send_reset(Reason::CANCEL);
    let error = server.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    other.send_data(Bytes::from_static(b"alive"), true).unwrap();
    let mut heard = Vec::new();
    other_server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"alive");
}

#[tokio::test]
async fn a_reset_flood_costs_the_client_its_connection_and_nobody_else() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let (requests, connection) = open(&rig, &rig.enclave(60)).await;
    let mut requests = requests.ready().await.unwrap();
    for _ in 0..20_000 {
        let Ok((response, mut stream)) = requests.send_request(connect_to("elsewhere.example:443"), false)
        else {
            break;
        };
        stream.send_reset(Reason::CANCEL);
        drop(response);
        match requests.ready().await {
            Ok(ready) => requests = ready,
            Err(_) => break,
        }
    }
    let error = connection.await.unwrap().unwrap_err();
    assert!(error.is_go_away() || error.is_io(), "{error}");
    let _other = rig.tunnel(&rig.enclave(60), &target).await;
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go_and_a_draining_gateway_tells_all() {
    let soon = Duration::from_millis(50);
    let config = GatewayConfig { idle_timeout: soon, keepalive: soon, ..GatewayConfig::default() };
    let rig = Rig::with(&["a.test:1"], config, Limits::default()).await;
    let (_requests, connection) = open(&rig, &rig.enclave(60)).await;
    connection.await.unwrap().unwrap();

    let rig = Rig::new(&["a.test:1"]).await;
    let (_requests, connection) = open(&rig, &rig.enclave(60)).await;
    rig.stop.cancel();
    connection.await.unwrap().unwrap();
    rig.served.await.unwrap();
}

type Connection = JoinHandle<Result<(), h2::Error>>;

pub(super) async fn open(rig: &Rig, enclave: &Enclave) -> (SendRequest<Bytes>, Connection) {
    let tls = rig.connect(enclave, b"h2").await.unwrap();
    let (requests, connection) = h2::client::handshake(tls).await.unwrap();
    (requests, tokio::spawn(connection))
}

pub(super) fn connect_to(target: &str) -> Request<()> {
    let uri = Uri::builder().authority(target).build();
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = uri.unwrap();
    request
}

pub(super) async fn tunnel(
    requests: &mut SendRequest<Bytes>,
    target: &str,
) -> (SendStream<Bytes>, RecvStream) {
    let (response, to) = ask(requests, connect_to(target)).await;
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    (to, response.into_body())
}

pub(super) async fn refused(requests: &mut SendRequest<Bytes>, request: Request<()>) -> (Problem, u16) {
    let (response, _to) = ask(requests, request).await;
    let response = response.await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status().as_u16();
    (serde_json::from_slice(&drain(response.into_body()).await.unwrap()).unwrap(), status)
}

async fn ask(requests: &mut SendRequest<Bytes>, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
    let mut ready = requests.clone().ready().await.unwrap();
    ready.send_request(request, false).unwrap()
}

async fn send(mut to: SendStream<Bytes>, mut data: Bytes) {
    while !data.is_empty() {
        to.reserve_capacity(data.len());
        let room = std::future::poll_fn(|cx| to.poll_capacity(cx)).await.unwrap().unwrap();
        let room = room.min(data.len());
        to.send_data(data.split_to(room), data.is_empty()).unwrap();
    }
}

pub(super) async fn drain(mut from: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut heard = Vec::new();
    while let Some(data) = from.data().await {
        let data = data?;
        from.flow_control().release_capacity(data.len())?;
        heard.extend_from_slice(&data);
    }
    Ok(heard)
}
