//! CONNECT over HTTP/1.1: a TLS connection that becomes a tunnel.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::rig::{Rig, connect, destination, pattern};
use crate::session::EndReason;

#[tokio::test]
async fn bytes_go_both_ways() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let enclave = rig.enclave(60);
    let mut client = rig.tunnel(&enclave, &target).await;
    let (mut server, _) = listener.accept().await.unwrap();
    for round in 0..10u8 {
        client.write_all(&[round; 33]).await.unwrap();
        let mut heard = [0; 33];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [round; 33]);
        server.write_all(&[!round; 7]).await.unwrap();
        let mut heard = [0; 7];
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [!round; 7]);
    }
    assert_eq!(rig.sessions.list()[0].tunnels, 1);
    assert_eq!(rig.metrics.gateway.bytes(), (330, 70), "bytes are counted while they flow");
    let text = rig.metrics.text();
    assert!(text.contains("countersign_tunnels_opened_total 1\n"), "{text}");
    assert!(text.contains("countersign_tunnel_open_duration_seconds_count 1\n"), "{text}");
}

#[tokio::test]
async fn bytes_behind_the_head_are_the_tunnels_first() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    // More than the head's reader takes at once, and more than one record.
    let early = pattern(40_000, 5);
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    client.write_all(&[request.as_bytes(), &early].concat()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut heard = vec![0; early.len()];
    server.read_exact(&mut heard).await.unwrap();
    assert!(heard == early);
}

#[tokio::test]
async fn the_clients_end_reaches_the_destination_which_still_answers() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let mut client = rig.tunnel(&rig.enclave(60), &target).await;
    let (mut server, _) = listener.accept().await.unwrap();
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"question");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"answer", "and then close_notify: read_to_end fails without one");
}

#[tokio::test]
async fn the_destinations_end_reaches_the_client_which_still_sends() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let mut client = rig.tunnel(&rig.enclave(60), &target).await;
    let (mut server, _) = listener.accept().await.unwrap();
    server.write_all(b"greeting").await.unwrap();
    server.shutdown().await.unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"greeting");
    client.write_all(b"late").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_goes_both_ways_at_the_same_time_unchanged() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let client = rig.tunnel(&rig.enclave(60), &target).await;
    let (server, _) = listener.accept().await.unwrap();
    let (up, down) = (pattern(24 << 20, 1), pattern(24 << 20, 2));
    let (mut client_reads, mut client_writes) = tokio::io::split(client);
    let (mut server_reads, mut server_writes) = server.into_split();
    let sends_up = async {
        client_writes.write_all(&up).await?;
        client_writes.shutdown().await
    };
    let sends_down = async {
        server_writes.write_all(&down).await?;
        server_writes.shutdown().await
    };
    let (mut heard_up, mut heard_down) = (Vec::new(), Vec::new());
    let (a, b, c, d) = tokio::join!(
        sends_up,
        sends_down,
        server_reads.read_to_end(&mut heard_up),
        client_reads.read_to_end(&mut heard_down),
    );
    a.and(b).and(c.map(drop)).and(d.map(drop)).unwrap();
    assert!(heard_up == up, "up: {} of {} bytes", heard_up.len(), up.len());
    assert!(heard_down == down, "down: {} of {} bytes", heard_down.len(), down.len());
}

#[tokio::test]
async fn the_client_may_change_its_keys() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let mut client = rig.tunnel(&rig.enclave(60), &target).await;
    let (mut server, _) = listener.accept().await.unwrap();
    for round in 0..5u8 {
        // Asks for our keys to change too, so the way back must still be readable.
        client.get_mut().1.refresh_traffic_keys().unwrap();
        client.write_all(&[round; 100]).await.unwrap();
        let mut heard = [0; 100];
        server.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [round; 100]);
        server.write_all(&heard).await.unwrap();
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, [round; 100]);
    }
}

#[tokio::test]
async fn a_cut_resets_both_sides_of_a_tunnel_blocked_in_a_write() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let enclave = rig.enclave(60);
    let mut client = rig.tunnel(&enclave, &target).await;
    let (server, _) = listener.accept().await.unwrap();
    // Nobody reads at the destination: send until nothing moves any more.
    let block = pattern(64 * 1024, 3);
    while tokio::time::timeout(Duration::from_millis(300), client.write_all(&block)).await.is_ok() {}

    let ended = rig.sessions.end(&enclave.session.id(), EndReason::MeasurementRevoked);
    assert_eq!((ended.sessions, ended.tunnels), (1, 1));
    assert_eq!(enclave.session.ended(), Some(EndReason::MeasurementRevoked));
    assert_reset(client_end(&mut client).await);
    assert_reset(socket_end(server).await);
    assert_eq!(enclave.session.view().tunnels, 0);
}

#[tokio::test]
async fn a_cut_resets_an_idle_tunnel() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let enclave = rig.enclave(60);
    let mut client = rig.tunnel(&enclave, &target).await;
    let (server, _) = listener.accept().await.unwrap();
    rig.sessions.end(&enclave.session.id(), EndReason::EndedByAdmin);
    assert_reset(client_end(&mut client).await);
    assert_reset(socket_end(server).await);
}

#[tokio::test]
async fn an_error_of_the_destination_is_no_orderly_end() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let mut client = rig.tunnel(&rig.enclave(60), &target).await;
    let (server, _) = listener.accept().await.unwrap();
    crate::gateway::stream::reset(&server);
    drop(server);
    assert_reset(client_end(&mut client).await);
}

#[tokio::test]
async fn a_client_that_vanishes_without_close_notify_is_no_orderly_end() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let client = rig.tunnel(&rig.enclave(60), &target).await;
    let (server, _) = listener.accept().await.unwrap();
    let (tcp, _) = client.into_inner();
    drop(tcp);
    assert_reset(socket_end(server).await);
}

#[tokio::test]
async fn after_a_refusal_the_connection_takes_another_request() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    for _ in 0..3 {
        let refused = connect(&mut client, "elsewhere.example:443").await.unwrap();
        assert_eq!(refused.code(), "destination-denied");
    }
    assert_eq!(connect(&mut client, &target).await.unwrap().code(), "open");
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn draining_refuses_waits_and_then_cuts() {
    let (listener, target) = destination().await;
    let config = crate::gateway::GatewayConfig { drain: Duration::from_millis(200), ..Default::default() };
    let rig = Rig::with(&[&target], config, Default::default()).await;
    let enclave = rig.enclave(60);
    let mut client = rig.tunnel(&enclave, &target).await;
    let (mut server, _) = listener.accept().await.unwrap();
    let mut waiting = rig.connect(&enclave, b"http/1.1").await.unwrap();
    // Its refusal shows that the gateway has taken the connection in.
    connect(&mut waiting, "elsewhere.example:443").await.unwrap();
    rig.stop.cancel();
    assert_eq!(waiting.read(&mut [0; 1]).await.unwrap(), 0, "a connection without a tunnel ends in order");
    client.write_all(b"still").await.unwrap();
    let mut heard = [0; 5];
    server.read_exact(&mut heard).await.unwrap();
    rig.served.await.unwrap();
    assert_eq!(enclave.session.ended(), Some(EndReason::Draining));
    assert_reset(client_end(&mut client).await);
    assert_reset(socket_end(server).await);
}

/// How the client's connection ends.
async fn client_end(client: &mut super::rig::Client) -> io::Error {
    match client.read_to_end(&mut Vec::new()).await {
        Ok(_) => panic!("the client saw an orderly end"),
        Err(error) => error,
    }
}

/// How the destination's connection ends, once it reads what came before.
async fn socket_end(mut server: TcpStream) -> io::Error {
    match server.read_to_end(&mut Vec::new()).await {
        Ok(_) => panic!("the destination saw an orderly end"),
        Err(error) => error,
    }
}

fn assert_reset(error: io::Error) {
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
}
