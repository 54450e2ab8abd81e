//! Requests in absolute form, from a caller's socket to an origin's and back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod local;

use std::{io::ErrorKind, time::Duration};

use countersign_enclave::local::LocalProxyLimits;
use local::{Answer, Local, Origin, PATIENCE, read_head};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A proxy, a caller's connection to it, and an origin.
async fn world() -> (Local, TcpStream, Origin) {
    let local = Local::start().await;
    let caller = local.connect().await;
    (local, caller, Origin::start().await)
}

async fn send(stream: &mut TcpStream, text: impl AsRef<[u8]>) {
    stream.write_all(text.as_ref()).await.unwrap();
}

async fn read_exactly(stream: &mut TcpStream, expected: &str) {
    let mut seen = vec![0; expected.len()];
    timeout(PATIENCE, stream.read_exact(&mut seen)).await.expect("bytes in time").unwrap();
    assert_eq!(String::from_utf8(seen).unwrap(), expected);
}

#[tokio::test]
async fn the_origin_sees_what_is_for_it_and_nothing_else() {
    let (_local, mut caller, origin) = world().await;
    let head = format!(
        "GET http://{}/p?q=1 HTTP/1.1\r\nHost: other.example\r\nProxy-Authorization: Basic c2VjcmV0\r\n\
         Proxy-Connection: keep-alive\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\n\
         Via: 1.0 fred\r\nCookie: a=b\r\n\r\n",
        origin.address
    );
    send(&mut caller, head).await;
    let mut upstream = origin.accept().await;
    let seen = read_head(&mut upstream).await;
    let mut lines: Vec<_> = seen.trim_end().lines().collect();
    assert_eq!(lines.remove(0), "GET /p?q=1 HTTP/1.1");
    lines.sort_unstable();
    let host = format!("Host: {}", origin.address);
    assert_eq!(lines, ["Cookie: a=b", &host, "Via: 1.0 fred", "Via: 1.1 countersign"]);

    send(
        &mut upstream,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Own\r\nX-Own: 1\r\nX-Kept: 2\r\n\r\nok",
    )
    .await;
    let answer = Answer::one(&mut caller).await;
    assert_eq!(
        answer.head,
        "HTTP/1.1 200 OK\r\nX-Kept: 2\r\nContent-Length: 2\r\nVia: 1.1 countersign\r\n\r\n"
    );
    assert_eq!(answer.body, "ok");
}

#[tokio::test]
async fn one_connection_asks_several_origins_and_each_is_kept_while_it_is_asked() {
    let (_local, mut caller, one) = world().await;
    let other = Origin::start().await;
    let ask = |origin: &Origin, path: &str| {
        format!("GET http://{}/{path} HTTP/1.1\r\nHost: a\r\n\r\n", origin.address)
    };
    // Two at once: the second waits in the buffer until the first is answered.
    send(&mut caller, ask(&one, "1") + &ask(&one, "2")).await;
    let mut to_one = one.accept().await;
    for path in ["1", "2"] {
        let head = read_head(&mut to_one).await;
        assert!(head.starts_with(&format!("GET /{path} HTTP/1.1\r\n")), "{head}");
        send(&mut to_one, format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{path}")).await;
        assert_eq!(Answer::one(&mut caller).await.body, path);
    }
    assert!(one.is_untouched().await, "the first connection served both");
    send(&mut caller, ask(&other, "3")).await;
    let mut to_other = other.accept().await;
    read_head(&mut to_other).await;
    send(&mut to_other, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3").await;
    assert_eq!(Answer::one(&mut caller).await.body, "3");
    assert_eq!(to_one.read(&mut [0]).await.unwrap(), 0, "the connection that nobody asks is closed");
}

#[tokio::test]
async fn an_origin_that_closed_meanwhile_is_asked_anew_where_that_is_safe() {
    let (_local, mut caller, origin) = world().await;
    for (method, content) in [("GET", ""), ("POST", "Content-Length: 0\r\n")] {
        let request = format!("{method} http://{}/ HTTP/1.1\r\nHost: a\r\n{content}\r\n", origin.address);
        send(&mut caller, &request).await;
        let mut first = origin.accept().await;
        read_head(&mut first).await;
        send(&mut first, "HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(Answer::one(&mut caller).await.status(), 204);
        // The next request is on its way when the origin closes.
        send(&mut caller, &request).await;
        read_head(&mut first).await;
        drop(first);
        if method == "GET" {
            let mut second = origin.accept().await;
            read_head(&mut second).await;
            send(&mut second, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            assert_eq!(Answer::one(&mut caller).await.status(), 204);
        } else {
            let problem = Answer::one(&mut caller).await.problem();
            assert_eq!((problem.status, &*problem.code), (502, "origin-closed"));
            assert!(origin.is_untouched().await, "twice may be too much");
        }
    }
}

#[tokio::test]
async fn chunks_and_trailers_go_both_ways() {
    let (_local, mut caller, origin) = world().await;
    let head = format!(
        "POST http://{}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n",
        origin.address
    );
    send(&mut caller, head + "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 7\r\nHost: evil\r\n\r\n").await;
    let mut upstream = origin.accept().await;
    let seen = read_head(&mut upstream).await;
    assert!(seen.contains("\r\nTransfer-Encoding: chunked\r\n"), "{seen}");
    read_exactly(&mut upstream, "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 7\r\n\r\n").await;
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Other: 8\r\n\r\n";
    send(&mut upstream, answer).await;
    let head = read_head(&mut caller).await;
    assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n"), "{head}");
    read_exactly(&mut caller, "3\r\nabc\r\n0\r\nX-Other: 8\r\n\r\n").await;
}

#[tokio::test]
async fn a_caller_of_http_1_0_gets_no_chunks_and_one_answer() {
    let (_local, mut caller, origin) = world().await;
    let head = format!(
        "GET http://{}/ HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n",
        origin.address
    );
    send(&mut caller, head).await;
    let mut upstream = origin.accept().await;
    let seen = read_head(&mut upstream).await;
    assert!(seen.starts_with("GET / HTTP/1.1\r\n") && !seen.contains("Expect"), "{seen}");
    assert!(seen.contains("\r\nVia: 1.0 countersign\r\n"), "{seen}");
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    send(&mut upstream, answer).await;
    let answer = Answer::to_end(&mut caller).await;
    assert_eq!(answer.head, "HTTP/1.1 200 OK\r\nConnection: close\r\nVia: 1.1 countersign\r\n\r\n");
    assert_eq!(answer.body, "abc");
}

#[tokio::test]
async fn an_answer_that_lasts_until_the_end_is_chunks_and_a_break_is_a_break() {
    for breaks in [false, true] {
        let (_local, mut caller, origin) = world().await;
        send(&mut caller, format!("GET http://{}/ HTTP/1.1\r\nHost: a\r\n\r\n", origin.address)).await;
        let mut upstream = origin.accept().await;
        read_head(&mut upstream).await;
        send(&mut upstream, "HTTP/1.0 200 OK\r\n\r\nabc").await;
        let head = read_head(&mut caller).await;
        assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n"), "{head}");
        assert!(head.contains("\r\nVia: 1.0 countersign\r\n"), "{head}");
        read_exactly(&mut caller, "3\r\nabc\r\n").await;
        if breaks {
            upstream.set_zero_linger().unwrap();
            drop(upstream);
            let error = timeout(PATIENCE, caller.read(&mut [0])).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        } else {
            drop(upstream);
            read_exactly(&mut caller, "0\r\n\r\n").await;
        }
    }
}

#[tokio::test]
async fn an_answer_shorter_than_it_says_is_a_reset() {
    let (_local, mut caller, origin) = world().await;
    send(&mut caller, format!("GET http://{}/ HTTP/1.1\r\nHost: a\r\n\r\n", origin.address)).await;
    let mut upstream = origin.accept().await;
    read_head(&mut upstream).await;
    send(&mut upstream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
    read_head(&mut caller).await;
    read_exactly(&mut caller, "abc").await;
    drop(upstream);
    let error = timeout(PATIENCE, caller.read(&mut [0])).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn answers_without_content_keep_their_length_and_the_connection() {
    let (_local, mut caller, origin) = world().await;
    let mut upstream = None;
    for (method, status, length) in [
        ("HEAD", "200 OK", Some("9")),
        ("GET", "304 Not Modified", Some("9")),
        ("GET", "204 No Content", None),
    ] {
        send(&mut caller, format!("{method} http://{}/ HTTP/1.1\r\nHost: a\r\n\r\n", origin.address)).await;
        let upstream = match &mut upstream {
            Some(upstream) => upstream,
            none => none.insert(origin.accept().await),
        };
        read_head(upstream).await;
        let said = length.map_or(String::new(), |length| format!("Content-Length: {length}\r\n"));
        send(upstream, format!("HTTP/1.1 {status}\r\n{said}\r\n")).await;
        let head = read_head(&mut caller).await;
        assert_eq!(head, format!("HTTP/1.1 {status}\r\n{said}Via: 1.1 countersign\r\n\r\n"));
    }
}

#[tokio::test]
async fn a_caller_that_expects_100_waits_for_the_origins() {
    let (_local, mut caller, origin) = world().await;
    let head = format!(
        "PUT http://{}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        origin.address
    );
    send(&mut caller, head).await;
    let mut upstream = origin.accept().await;
    let seen = read_head(&mut upstream).await;
    assert!(seen.contains("\r\nExpect: 100-continue\r\n"), "{seen}");
    send(&mut upstream, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").await;
    read_exactly(&mut caller, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        .await;
    send(&mut caller, "hello").await;
    read_exactly(&mut upstream, "hello").await;
    send(&mut upstream, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(Answer::one(&mut caller).await.status(), 201);
}

#[tokio::test]
async fn an_answer_before_the_content_is_over_ends_the_connection() {
    let (_local, mut caller, origin) = world().await;
    let head =
        format!("PUT http://{}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhello", origin.address);
    send(&mut caller, head).await;
    let mut upstream = origin.accept().await;
    read_head(&mut upstream).await;
    send(&mut upstream, "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 2\r\n\r\nno").await;
    let answer = Answer::one(&mut caller).await;
    assert_eq!((answer.status(), &*answer.body), (413, "no"));
    assert!(answer.head.contains("\r\nConnection: close\r\n"), "{}", answer.head);
    assert_eq!(timeout(PATIENCE, caller.read(&mut [0])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_caller_that_has_said_everything_may_end_its_half() {
    let (_local, mut caller, origin) = world().await;
    send(&mut caller, format!("GET http://{}/ HTTP/1.1\r\nHost: a\r\n\r\n", origin.address)).await;
    caller.shutdown().await.unwrap();
    let mut upstream = origin.accept().await;
    read_head(&mut upstream).await;
    send(&mut upstream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(Answer::to_end(&mut caller).await.body, "ok");
}

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel() {
    let (_local, mut caller, origin) = world().await;
    let head = format!(
        "GET http://{}/ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\r\nearly up",
        origin.address
    );
    send(&mut caller, head).await;
    let mut upstream = origin.accept().await;
    let seen = read_head(&mut upstream).await;
    assert!(
        seen.contains("\r\nUpgrade: websocket\r\n") && seen.contains("\r\nConnection: upgrade\r\n"),
        "{seen}"
    );
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly down";
    send(&mut upstream, answer).await;
    let head = read_head(&mut caller).await;
    assert_eq!(head, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
    read_exactly(&mut caller, "early down").await;
    read_exactly(&mut upstream, "early up").await;
    send(&mut caller, "up").await;
    caller.shutdown().await.unwrap();
    let mut rest = String::new();
    upstream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "up");
    send(&mut upstream, "down").await;
    drop(upstream);
    let mut rest = String::new();
    caller.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "down");
}

#[tokio::test]
async fn an_origin_that_gives_no_answer_is_told_apart_from_one_that_gives_a_bad_one() {
    for (said, code, error) in [
        ("", "origin-closed", "connection_terminated"),
        ("HTTP/1.1 200 OK\r\nContent-", "origin-closed", "connection_terminated"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "origin-answer-invalid", "http_protocol_error"),
        ("HTTP/1.1 200 OK\r\nX : 1\r\n\r\n", "origin-answer-invalid", "http_protocol_error"),
        ("HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\n\r\n", "origin-answer-invalid", "http_protocol_error"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            "origin-answer-invalid",
            "http_protocol_error",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "origin-answer-invalid",
            "http_protocol_error",
        ),
    ] {
        let (_local, mut caller, origin) = world().await;
        send(&mut caller, format!("POST http://{}/ HTTP/1.1\r\nHost: a\r\n\r\n", origin.address)).await;
        let mut upstream = origin.accept().await;
        read_head(&mut upstream).await;
        send(&mut upstream, said).await;
        upstream.shutdown().await.unwrap();
        let answer = Answer::to_end(&mut caller).await;
        let problem = answer.problem();
        assert_eq!((problem.status, &*problem.code), (502, code), "{said:?}: {}", problem.detail);
        assert!(answer.head.contains(&format!("error={error};")), "{}", answer.head);
    }
}

#[tokio::test]
async fn options_goes_as_far_as_it_may() {
    let (_local, mut caller, origin) = world().await;
    let ask = |left: &str| {
        format!("OPTIONS http://{} HTTP/1.1\r\nHost: a\r\nMax-Forwards: {left}\r\n\r\n", origin.address)
    };
    send(&mut caller, ask("0")).await;
    let head = read_head(&mut caller).await;
    assert!(head.starts_with("HTTP/1.1 204 ") && head.contains("\r\nAllow: CONNECT, "), "{head}");
    assert!(origin.is_untouched().await);
    send(&mut caller, ask("2")).await;
    let head = read_head(&mut origin.accept().await).await;
    assert!(head.starts_with("OPTIONS * HTTP/1.1\r\n") && head.contains("\r\nMax-Forwards: 1\r\n"), "{head}");
}

/// More than any buffer on the way, with checks on both ends.
#[tokio::test]
async fn large_content_goes_both_ways_at_once() {
    let (_local, caller, origin) = world().await;
    const LEN: usize = 8 << 20;
    let pattern: Vec<u8> = (0..LEN).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect();
    let (mut from_proxy, mut to_proxy) = caller.into_split();
    let head = format!("PUT http://{}/ HTTP/1.1\r\nHost: a\r\nContent-Length: {LEN}\r\n\r\n", origin.address);
    let sent = pattern.clone();
    tokio::spawn(async move {
        to_proxy.write_all(head.as_bytes()).await.unwrap();
        to_proxy.write_all(&sent).await.unwrap();
        // Kept open until the answer is read.
        std::future::pending::<()>().await;
    });
    let mut upstream = origin.accept().await;
    read_head(&mut upstream).await;
    send(&mut upstream, format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n")).await;
    // An origin that echoes as it reads.
    tokio::spawn(async move {
        let (mut read, mut write) = upstream.split();
        tokio::io::copy(&mut read, &mut write).await
    });
    let mut seen = Vec::new();
    let read = async {
        while !seen.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            seen.push(from_proxy.read_u8().await.unwrap());
        }
        let mut body = vec![0; LEN];
        from_proxy.read_exact(&mut body).await.unwrap();
        body
    };
    let body = timeout(PATIENCE, read).await.expect("everything in time");
    assert!(body == pattern, "other bytes came back");
}

/// The deadline of a head begins with its first byte: before it, a caller may think for longer.
#[tokio::test]
async fn between_two_requests_there_is_time_and_in_a_later_head_no_more_than_in_the_first() {
    let limits =
        LocalProxyLimits { head_deadline: Duration::from_millis(200), ..LocalProxyLimits::default() };
    let local = Local::with(limits, &["127.0.0.1"]).await;
    let (mut caller, origin) = (local.connect().await, Origin::start().await);
    let host = origin.address;
    // Content that fills the room it is read into: only a further read can tell that no more is there.
    let content = "c".repeat(16 * 1024);
    send(&mut caller, format!("POST http://{host}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 16384\r\n\r\n"))
        .await;
    let mut upstream = origin.accept().await;
    read_head(&mut upstream).await;
    send(&mut caller, &content).await;
    read_exactly(&mut upstream, &content).await;
    send(&mut upstream, "HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(Answer::one(&mut caller).await.status(), 204);

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    send(&mut caller, format!("GET http://{host}/again HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    assert!(read_head(&mut upstream).await.starts_with("GET /again HTTP/1.1\r\n"));
    send(&mut upstream, "HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(Answer::one(&mut caller).await.status(), 204);

    send(&mut caller, "GET http://").await;
    let problem = Answer::to_end(&mut caller).await.problem();
    assert_eq!((problem.status, &*problem.code), (408, "request-timeout"));
}
