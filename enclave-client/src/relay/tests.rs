use std::{io::ErrorKind, os::unix::net::UnixStream, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{Early, End, Report, relay};
use crate::transport::{Stream, UnixSocket};

/// A client and a server with a relay between them, over TCP.
async fn over_tcp() -> (Stream, Stream, JoinHandle<Report>) {
    let (client, near) = tcp().await;
    let (far, server) = tcp().await;
    (client, server, tokio::spawn(async move { relay(near, far, Early::default(), None).await }))
}

/// As through a host half: two relays, with a UNIX socket in the place of vsock.
async fn over_two_hops() -> (Stream, Stream, JoinHandle<Report>) {
    let (client, near) = tcp().await;
    let (inner, outer) = unix();
    let (far, server) = tcp().await;
    let first = tokio::spawn(async move { relay(near, inner, Early::default(), None).await });
    tokio::spawn(async move { relay(outer, far, Early::default(), None).await });
    (client, server, first)
}

async fn tcp() -> (Stream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (Stream::Tcp(one.unwrap()), Stream::Tcp(other.unwrap().0))
}

fn unix() -> (Stream, Stream) {
    let (one, other) = UnixStream::pair().unwrap();
    let stream = |socket| Stream::Unix(UnixSocket::new(socket).unwrap());
    (stream(one), stream(other))
}

fn reset(stream: Stream) {
    use super::Side;
    stream.abort();
}

/// Bytes whose order cannot be mistaken.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

#[tokio::test]
async fn bytes_and_ends_go_through_both_ways() {
    for hops in [1, 2] {
        let (client, server, relayed) = if hops == 1 { over_tcp().await } else { over_two_hops().await };
        let sent = pattern(5 << 20);
        let expected = sent.clone();
        let (mut from_server, mut to_server) = tokio::io::split(client);
        let up = tokio::spawn(async move {
            to_server.write_all(&sent).await.unwrap();
            to_server.shutdown().await.unwrap();
            to_server
        });
        let (mut from_client, mut to_client) = tokio::io::split(server);
        let mut seen = Vec::new();
        from_client.read_to_end(&mut seen).await.unwrap();
        assert!(seen == expected, "{} bytes came, over {hops} hops", seen.len());
        // The client has ended, and the answer still goes down.
        to_client.write_all(&seen).await.unwrap();
        to_client.shutdown().await.unwrap();
        let mut back = Vec::new();
        from_server.read_to_end(&mut back).await.unwrap();
        assert!(back == expected, "{} bytes came back, over {hops} hops", back.len());
        drop(up.await.unwrap());
        let report = relayed.await.unwrap();
        assert!(matches!(report.end, End::Finished), "{:?}", report.end);
        assert_eq!((report.up, report.down), (5 << 20, 5 << 20));
    }
}

#[tokio::test]
async fn what_came_early_goes_first() {
    let (mut client, near) = tcp().await;
    let (far, mut server) = tcp().await;
    let early = Early { up: "hello ".into(), down: "welcome ".into() };
    let relayed = tokio::spawn(async move { relay(near, far, early, None).await });
    client.write_all(b"server").await.unwrap();
    client.shutdown().await.unwrap();
    server.write_all(b"client").await.unwrap();
    server.shutdown().await.unwrap();
    let (mut up, mut down) = (String::new(), String::new());
    server.read_to_string(&mut up).await.unwrap();
    client.read_to_string(&mut down).await.unwrap();
    assert_eq!((&*up, &*down), ("hello server", "welcome client"));
    let report = relayed.await.unwrap();
    assert_eq!((report.up, report.down), (12, 14));
}

#[tokio::test]
async fn a_reset_is_a_reset_at_the_other_end() {
    for hops in [1, 2] {
        let start = async || if hops == 1 { over_tcp().await } else { over_two_hops().await };
        let (mut client, server, relayed) = start().await;
        reset(server);
        let error = client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "server to client over {hops} hops");
        assert!(matches!(relayed.await.unwrap().end, End::Far(_)));

        let (client, mut server, relayed) = start().await;
        reset(client);
        let error = server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "client to server over {hops} hops");
        assert!(matches!(relayed.await.unwrap().end, End::Near(_)));
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_writer_back_and_loses_nothing() {
    let (mut client, mut server, _relayed) = over_two_hops().await;
    let block = pattern(64 * 1024);
    let mut sent = 0;
    // Until every buffer on the way is full: nobody reads.
    while let Ok(wrote) =
        tokio::time::timeout(Duration::from_secs(1), client.write(&block[sent % block.len()..])).await
    {
        sent += wrote.unwrap();
        assert!(sent < 256 << 20, "{sent} bytes went to nobody");
    }
    client.shutdown().await.unwrap();
    let mut seen = Vec::new();
    server.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen.len(), sent);
    assert!(seen.chunks(block.len()).all(|chunk| chunk == &block[..chunk.len()]));
}

#[tokio::test]
async fn a_cut_resets_both_sides_even_when_a_write_is_blocked() {
    let (mut client, near) = tcp().await;
    let (far, mut server) = tcp().await;
    let cut = CancellationToken::new();
    let token = cut.clone();
    let relayed = tokio::spawn(async move { relay(near, far, Early::default(), Some(&token)).await });
    let block = vec![0; 64 * 1024];
    while let Ok(wrote) = tokio::time::timeout(Duration::from_secs(1), client.write(&block)).await {
        wrote.unwrap();
    }
    cut.cancel();
    assert!(matches!(relayed.await.unwrap().end, End::Cut));
    assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut seen = Vec::new();
    assert_eq!(server.read_to_end(&mut seen).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// A client that says all it has and then dies: the destination never speaks, so no
/// write finds out.
#[tokio::test(start_paused = true)]
async fn a_half_open_side_that_vanishes_is_found() {
    let (mut client, near) = unix();
    let (far, mut server) = tcp().await;
    let relayed = tokio::spawn(async move { relay(near, far, Early::default(), None).await });
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = Vec::new();
    server.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    // Quiet for an hour, and still there.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!relayed.is_finished());
    drop(client);
    assert!(matches!(relayed.await.unwrap().end, End::Near(_)));
    // tcp(7): what a reset is called by a socket that has read the end already.
    assert_eq!(server.write(b"answer").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn an_idle_relay_is_small() {
    let (_client, near) = tcp().await;
    let (far, _server) = tcp().await;
    let size = size_of_val(&relay(near, far, Early::default(), None));
    assert!(size <= 1024, "{size} bytes");
}
