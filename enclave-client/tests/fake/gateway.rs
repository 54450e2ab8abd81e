use std::sync::Arc;

use bytes::Bytes;
use countersign_protocol::{Problem, ProblemCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::server::TlsStream;

use super::Shared;

/// Serves one connection. The target decides what happens: `denied.example`,
/// `nosession.example` and `unreachable.example` are refused, `silent.example`
/// opens and says nothing, `broken.example` opens and breaks, anything else
/// echoes until the client has finished, and then says "bye".
pub async fn serve<T: AsyncRead + AsyncWrite + Unpin>(stream: T, shared: Arc<Shared>) {
    let Ok(stream) = shared.gateway_tls.accept(stream).await else { return };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_h2(stream, shared).await;
    } else {
        serve_h1(stream, shared).await;
    }
}

fn refusal(target: &str) -> Option<Problem> {
    let code = match target {
        "denied.example:443" => ProblemCode::DestinationDenied,
        "nosession.example:443" => ProblemCode::NoSession,
        "unreachable.example:443" => ProblemCode::Unreachable,
        _ => return None,
    };
    Some(Problem::new(code, "as told", "from-the-gateway"))
}

async fn serve_h1<T: AsyncRead + AsyncWrite + Unpin>(mut stream: TlsStream<T>, shared: Arc<Shared>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(head, format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    let _ = shared.connects.send(("http/1.1", target.clone()));
    if let Some(problem) = refusal(&target) {
        let body = serde_json::to_vec(&problem).unwrap();
        let head = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n\r\n", problem.status, body.len());
        stream.write_all(&[head.into_bytes(), body].concat()).await.unwrap();
        return;
    }
    // The first byte of the tunnel comes with the head, as a fast destination's does.
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n>").await.unwrap();
    match target.as_str() {
        "silent.example:443" => std::future::pending().await,
        "broken.example:443" => {}
        _ => {
            let (mut read, mut write) = tokio::io::split(stream);
            if tokio::io::copy(&mut read, &mut write).await.is_ok() {
                let _ = write.write_all(b"bye").await;
                let _ = write.shutdown().await;
            }
        }
    }
}

async fn serve_h2<T: AsyncRead + AsyncWrite + Unpin>(stream: TlsStream<T>, shared: Arc<Shared>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let target = request.uri().authority().unwrap().to_string();
        let _ = shared.connects.send(("h2", target.clone()));
        if let Some(problem) = refusal(&target) {
            let head = http::Response::builder().status(problem.status).body(()).unwrap();
            let mut send = respond.send_response(head, false).unwrap();
            send.send_data(Bytes::from(serde_json::to_vec(&problem).unwrap()), true).unwrap();
            continue;
        }
        let mut send = respond.send_response(http::Response::new(()), false).unwrap();
        let mut receive = request.into_body();
        tokio::spawn(async move {
            send.send_data(Bytes::from_static(b">"), false).unwrap();
            match target.as_str() {
                "silent.example:443" => std::future::pending().await,
                "broken.example:443" => send.send_reset(h2::Reason::INTERNAL_ERROR),
                _ => {
                    while let Some(Ok(data)) = receive.data().await {
                        let _ = receive.flow_control().release_capacity(data.len());
                        if send.send_data(data, false).is_err() {
                            return;
                        }
                    }
                    let _ = send.send_data(Bytes::from_static(b"bye"), true);
                }
            }
        });
    }
}
