//! `GET /healthz`, as both halves answer it: one request a connection.

use std::{future::Future, io};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::transport::Stream;

/// What whoever watches is told.
pub(crate) struct Report {
    /// 200, or else 503.
    pub(crate) healthy: bool,
    /// JSON.
    pub(crate) body: String,
}

/// Reads one request and answers it; `report` is made only for one that asks for health.
/// Its deadline is the caller's.
///
/// # Errors
/// The connection broke: whoever asked, asks again.
pub(crate) async fn answer<F>(mut stream: Stream, report: impl FnOnce() -> F) -> io::Result<()>
where
    F: Future<Output = Report>,
{
    let mut head = Vec::new();
    let answer = loop {
        match judge(&head) {
            Asked::More if head.len() < MAX_HEAD => {
                let room = (MAX_HEAD - head.len()) as u64;
                if (&mut stream).take(room).read_buf(&mut head).await? == 0 {
                    return Ok(());
                }
            }
            Asked::More | Asked::Wrong => break http("400 Bad Request", r#"{"code":"bad-request"}"#),
            Asked::Other => break http("404 Not Found", r#"{"code":"not-found"}"#),
            Asked::Health => {
                let Report { healthy, body } = report().await;
                break http(if healthy { "200 OK" } else { "503 Service Unavailable" }, &body);
            }
        }
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    // Closing on unread bytes would reset the connection and take the answer with it.
    tokio::io::copy(&mut stream.take(MAX_HEAD as u64), &mut tokio::io::sink()).await.map(drop)
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    More,
    Health,
    Other,
    Wrong,
}

fn judge(head: &[u8]) -> Asked {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Err(_) => Asked::Wrong,
        Ok(httparse::Status::Partial) => Asked::More,
        Ok(httparse::Status::Complete(_))
            if request.method == Some("GET") && request.path == Some("/healthz") =>
        {
            Asked::Health
        }
        Ok(httparse::Status::Complete(_)) => Asked::Other,
    }
}

fn http(status: &str, body: &str) -> Vec<u8> {
    let head = "Content-Type: application/json\r\nCache-Control: no-store\r\nConnection: close";
    format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

const MAX_HEAD: usize = 4096;
