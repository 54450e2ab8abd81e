//! Requests that two readers could read in two ways, over a real socket: each has its
//! exact answer, and nobody behind the proxy hears of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod local;

use local::{Answer, Local, Origin, PATIENCE, read_head};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// `{o}` is the origin, which may be reached. What is sent, the status and the code.
const ATTACKS: &[(&str, &str, u16, &str)] = &[
    ("bare LF in CONNECT", "CONNECT {o} HTTP/1.1\nHost: a\n\n", 400, "bad-request"),
    ("bare LF behind one field", "GET http://{o}/ HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400, "bad-request"),
    ("bare LF ends the head", "GET http://{o}/ HTTP/1.1\r\nHost: a\r\n\n", 400, "bad-request"),
    ("LF before the request", "\nGET http://{o}/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    ("bare CR in a field", "GET http://{o}/ HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400, "bad-request"),
    ("folded field", "GET http://{o}/ HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400, "bad-request"),
    (
        "folded Transfer-Encoding",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "space before a colon",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
        400,
        "bad-request",
    ),
    ("space at a line's start", "POST http://{o}/ HTTP/1.1\r\n Host: a\r\n\r\n", 400, "bad-request"),
    ("NUL in a value", "GET http://{o}/ HTTP/1.1\r\nHost: a\0\r\n\r\n", 400, "bad-request"),
    ("NUL in a name", "GET http://{o}/ HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", 400, "bad-request"),
    ("two spaces before the target", "GET  http://{o}/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    ("space inside the target", "GET http://{o}/a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    ("tab before the version", "GET http://{o}/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    ("HTTP/2.0", "GET http://{o}/ HTTP/2.0\r\nHost: a\r\n\r\n", 400, "bad-request"),
    ("HTTP/0.9", "GET http://{o}/\r\n\r\n", 400, "bad-request"),
    ("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad-request"),
    ("TLS to the proxy", "\u{16}\u{3}\u{1}\r\n\r\n", 400, "bad-request"),
    ("no Host", "GET http://{o}/ HTTP/1.1\r\n\r\n", 400, "bad-request"),
    ("two Host", "GET http://{o}/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-request"),
    ("two Host in 1.0", "GET http://{o}/ HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad-request"),
    (
        "CL.TE",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET http://{o}/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "TE.CL",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGET http://{o}/ HTTP/1.1\r\n",
        400,
        "bad-request",
    ),
    (
        "two equal Content-Length",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        400,
        "bad-request",
    ),
    (
        "two Content-Length",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 0\r\n\r\nabc",
        400,
        "bad-request",
    ),
    (
        "a list of lengths",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
        400,
        "bad-request",
    ),
    (
        "length with plus",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        400,
        "bad-request",
    ),
    (
        "negative length",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc",
        400,
        "bad-request",
    ),
    (
        "hexadecimal length",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc",
        400,
        "bad-request",
    ),
    (
        "length of 2^64",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nabc",
        400,
        "bad-request",
    ),
    (
        "length of 2^64 and 3",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551619\r\n\r\nabc",
        400,
        "bad-request",
    ),
    (
        "empty length",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nabc",
        400,
        "bad-request",
    ),
    (
        "TE ends in gzip",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "TE identity",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\nabc",
        400,
        "bad-request",
    ),
    (
        "TE xchunked",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "TE behind a vertical tab",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "TE twice",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "TE of two codings",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
        "not-supported",
    ),
    (
        "TE in 1.0",
        "POST http://{o}/ HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "chunk ends in LF",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "chunk size ends in LF",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "extension ends in LF",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "chunk size with sign",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "chunk size with 0x",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "chunk size of 2^64 and 3",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "chunk longer than its size",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "bad trailer",
        "POST http://{o}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : 1\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "content of CONNECT",
        "CONNECT {o} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        400,
        "bad-request",
    ),
    (
        "chunks of CONNECT",
        "CONNECT {o} HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        400,
        "bad-request",
    ),
    ("connect in lower case", "connect {o} HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    ("CONNECT to a URL", "CONNECT http://{o} HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-destination"),
    ("CONNECT without port", "CONNECT 127.0.0.1 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-destination"),
    ("CONNECT with user", "CONNECT user@{o} HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-destination"),
    ("URL with user", "GET http://good.example@{o}/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    ("URL with fragment", "GET http://{o}/#@evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-request"),
    ("URL in a URL", "GET http://http://{o}/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-destination"),
    (
        "backslash for a slash",
        "GET http://{o}\\@evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "bad-request",
    ),
    ("path only", "GET /admin HTTP/1.1\r\nHost: {o}\r\n\r\n", 400, "bad-request"),
    ("https URL", "GET https://{o}/ HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not-supported"),
    ("ftp URL", "GET ftp://{o}/ HTTP/1.1\r\nHost: a\r\n\r\n", 501, "not-supported"),
    ("TRACE", "TRACE http://{o}/ HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method-not-allowed"),
];

#[tokio::test]
async fn each_attack_has_its_answer_and_reaches_nobody() {
    let (local, origin) = (Local::start().await, Origin::start().await);
    for (name, request, status, code) in ATTACKS {
        let request = request.replace("{o}", &origin.address.to_string());
        let answer = local.ask(&request).await;
        let problem = answer.problem();
        assert_eq!((problem.status, &*problem.code), (*status, *code), "{name}: {}", problem.detail);
        assert!(answer.head.contains("\r\nConnection: close\r\n"), "{name}: {}", answer.head);
        assert!(answer.head.contains("\r\nProxy-Status: countersign; error="), "{name}: {}", answer.head);
        assert!(origin.is_untouched().await, "{name} reached the origin");
    }
}

#[tokio::test]
async fn too_much_head_is_refused() {
    let (local, origin) = (Local::start().await, Origin::start().await);
    for (fields, code) in [
        (format!("X: {}\r\n", "x".repeat(17_000)), 413),
        ("X: 1\r\n".repeat(101), 400),
        // Never ends.
        ("X: 1\r\n".repeat(20_000), 400),
    ] {
        let request = format!("GET http://{}/ HTTP/1.1\r\nHost: a\r\n{fields}\r\n", origin.address);
        assert_eq!(local.ask(request).await.problem().status, code);
        assert!(origin.is_untouched().await);
    }
}

/// What came after a chunk that looked right cannot be unsent; what was sent must not look whole.
#[tokio::test]
async fn content_that_goes_wrong_later_is_never_whole_at_the_origin() {
    let (local, origin) = (Local::start().await, Origin::start().await);
    for wrong in
        ["3\nabc\r\n0\r\n\r\n", "zz\r\n", "0\r\nX : 1\r\n\r\n", "3\r\nabcGET http://evil/ HTTP/1.1\r\n\r\n"]
    {
        let mut stream = local.connect().await;
        let head = format!(
            "POST http://{}/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            origin.address
        );
        stream.write_all(format!("{head}5\r\nfirst\r\n").as_bytes()).await.unwrap();
        let mut upstream = origin.accept().await;
        let seen = read_head(&mut upstream).await;
        assert!(seen.starts_with("POST / HTTP/1.1\r\n"), "{seen}");
        let mut chunk = [0; 10];
        timeout(PATIENCE, upstream.read_exact(&mut chunk)).await.unwrap().unwrap();
        assert_eq!(&chunk, b"5\r\nfirst\r\n");
        stream.write_all(wrong.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // An end or a reset, but no last chunk before it.
        let _ = timeout(PATIENCE, upstream.read_to_end(&mut rest)).await.expect("the origin is let go");
        let rest = String::from_utf8_lossy(&rest);
        assert!(!rest.contains("0\r\n\r\n") && !rest.contains("GET"), "{wrong:?}: {rest:?}");
        let problem = Answer::to_end(&mut stream).await.problem();
        assert_eq!((problem.status, &*problem.code), (400, "bad-request"), "{wrong:?}");
    }
}

/// A request inside of content is content.
#[tokio::test]
async fn content_that_looks_like_a_request_is_content() {
    let (local, origin) = (Local::start().await, Origin::start().await);
    let inner = format!("GET http://{}/smuggled HTTP/1.1\r\nHost: a\r\n\r\n", origin.address);
    let chunked = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    for (fields, content) in [
        (format!("Content-Length: {}", inner.len()), inner.clone()),
        ("Transfer-Encoding: chunked".to_owned(), chunked),
    ] {
        let mut stream = local.connect().await;
        let head = format!("POST http://{}/ HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n", origin.address);
        stream.write_all(format!("{head}{content}").as_bytes()).await.unwrap();
        let mut upstream = origin.accept().await;
        let seen = read_head(&mut upstream).await;
        assert!(seen.contains(&format!("\r\n{fields}\r\n")), "{seen}");
        let mut body = vec![0; content.len()];
        timeout(PATIENCE, upstream.read_exact(&mut body)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), content);
        upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        assert_eq!(Answer::one(&mut stream).await.status(), 204);
        // The second request of this connection is the one that the caller sends now.
        stream
            .write_all(format!("GET http://{}/next HTTP/1.1\r\nHost: a\r\n\r\n", origin.address).as_bytes())
            .await
            .unwrap();
        let next = read_head(&mut upstream).await;
        assert!(next.starts_with("GET /next HTTP/1.1\r\n"), "{next}");
        upstream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        assert_eq!(Answer::one(&mut stream).await.status(), 204);
    }
}

/// Nobody reads the content of a request that the proxy answers itself, so nothing may follow it.
#[tokio::test]
async fn content_of_a_request_to_the_proxy_itself_is_no_request() {
    let (local, origin) = (Local::start().await, Origin::start().await);
    let inner = format!("GET http://{}/smuggled HTTP/1.1\r\nHost: a\r\n\r\n", origin.address);
    let chunked = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    for (field, content) in [
        (format!("Content-Length: {}", inner.len()), &inner),
        ("Transfer-Encoding: chunked".to_owned(), &chunked),
    ] {
        let mut stream = local.connect().await;
        let head = format!(
            "OPTIONS http://{} HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n{field}\r\n\r\n",
            origin.address
        );
        stream.write_all(format!("{head}{content}").as_bytes()).await.unwrap();
        let answer = Answer::to_end(&mut stream).await;
        assert_eq!((answer.status(), &*answer.body), (204, ""), "{answer:?}");
        assert!(answer.head.contains("\r\nConnection: close\r\n"), "{answer:?}");
        assert!(origin.is_untouched().await);
    }
}

/// What is sent on is a path, and paths are refused: so no request goes round twice.
#[tokio::test]
async fn the_proxy_is_no_way_to_itself() {
    let local = Local::start().await;
    let mut stream = local.connect().await;
    let request = format!("GET http://{}/ HTTP/1.1\r\nHost: a\r\n\r\n", local.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let problem = Answer::one(&mut stream).await.problem();
    assert_eq!((problem.status, &*problem.code), (400, "bad-request"));
    assert!(problem.detail.starts_with("this is a proxy"), "{}", problem.detail);
}
