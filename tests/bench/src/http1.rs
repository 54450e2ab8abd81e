use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::failure::{Context, Failure};
use crate::identity::SERVER_NAME;
use crate::tls::PATIENCE;

/// As much of HTTP/1.1 as a load needs: requests of one shape, answers with a length, pipelining. The load must cost
/// less than the server, so there is no general client here.
pub(crate) struct Http1<S> {
    stream: S,
    read: BytesMut,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http1<S> {
    /// Speaks on this stream.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, read: BytesMut::with_capacity(READ) }
    }

    /// The stream, for whoever needs its TLS state.
    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    /// Sends a request, or several that were put together.
    ///
    /// # Errors
    /// The connection's.
    pub(crate) async fn send(&mut self, requests: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(requests).await.context("request")?;
        self.stream.flush().await.context("request")
    }

    /// The next answer.
    ///
    /// # Errors
    /// The connection ended, nothing came in time, or what came is no answer with a length.
    pub(crate) async fn answer(&mut self) -> Result<Answer, Failure> {
        loop {
            if let Some(answer) = take_answer(&mut self.read)? {
                return Ok(answer);
            }
            self.read.reserve(READ);
            let more = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await.context("answer")?;
            if more.context("answer")? == 0 {
                return Err(Failure::new("answer: the connection ended"));
            }
        }
    }

    /// One request, one answer.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        self.send(request).await?;
        self.answer().await
    }

    /// The stream; nothing may have come that was not taken.
    ///
    /// # Errors
    /// Something did.
    pub(crate) fn into_stream(self) -> Result<S, Failure> {
        if self.read.is_empty() { Ok(self.stream) } else { Err(Failure::new("bytes after the answer")) }
    }
}

/// A `POST` of CBOR.
pub(crate) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {SERVER_NAME}\r\nContent-Type: application/cbor\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

fn take_answer(read: &mut BytesMut) -> Result<Option<Answer>, Failure> {
    let Some(end) = find(read, b"\r\n\r\n") else { return Ok(None) };
    let head = read.get(..end).unwrap_or_default();
    let (status, length) = head_of(head).context("what came is no HTTP/1.1 answer with a length")?;
    let body = end + 4;
    if read.len() < body + length {
        return Ok(None);
    }
    read.advance(body);
    Ok(Some(Answer { status, body: read.split_to(length).freeze() }))
}

/// Status and length; an answer to CONNECT has no body and need not say so.
fn head_of(head: &[u8]) -> Option<(u16, usize)> {
    let head = std::str::from_utf8(head).ok()?;
    let (first, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    // tinyproxy answers as HTTP/1.0.
    let rest = first.strip_prefix("HTTP/1.1 ").or_else(|| first.strip_prefix("HTTP/1.0 "))?;
    let status = rest.get(..3)?.parse().ok()?;
    let length = fields.split("\r\n").find_map(|field| {
        let (name, value) = field.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())
    });
    Some((status, length.unwrap_or(Some(0))?))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

const READ: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_one_by_one() {
        let two = b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n\r\n";
        let mut read = BytesMut::from(&two[..]);
        let first = take_answer(&mut read).unwrap().unwrap();
        assert_eq!((first.status, &first.body[..]), (409, &b"ab"[..]));
        let second = take_answer(&mut read).unwrap().unwrap();
        assert_eq!((second.status, second.body.len()), (200, 0));
        assert!(take_answer(&mut read).unwrap().is_none());
    }

    #[test]
    fn half_an_answer_is_none_and_nonsense_is_refused() {
        let half = |text: &str| take_answer(&mut BytesMut::from(text)).map(|answer| answer.is_some());
        assert!(!half("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").unwrap());
        assert!(half("SSH-2.0\r\n\r\n").is_err());
        assert!(half("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n").is_err());
    }
}
