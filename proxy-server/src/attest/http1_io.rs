use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use countersign_protocol::{ProblemCode, wire};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    log::{Sample, Sampler},
    refusal::{self, Refused},
};

/// Stands between hyper's HTTP/1 and the TLS stream, for two things that hyper
/// does not do.
///
/// **Answers to what is not HTTP.** hyper answers them itself, with a bare
/// status. Our answers always have a body, so an error head without one can
/// only be hyper's, and goes out as a problem with code and request id.
///
/// **Answers to pipelined requests leave together**, in one record and one
/// system call. They wait only while there is input to go on with: when a read
/// would block, the client is the one who waits. (hyper's `pipeline_flush`
/// never sends what stands before a malformed request.)
pub(super) struct Http1Io<S> {
    inner: S,
    lines: Arc<Sampler>,
    out: BytesMut,
    last_read: LastRead,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LastRead {
    GaveBytes,
    /// Nothing to read, or the end: hyper may not read again by itself.
    WouldBlock,
}

impl<S> Http1Io<S> {
    pub(super) fn new(inner: S, lines: Arc<Sampler>) -> Self {
        Self { inner, lines, out: BytesMut::new(), last_read: LastRead::WouldBlock }
    }

    /// The answer that goes out instead of one of hyper's.
    fn problem(&self, head: &[u8]) -> Vec<u8> {
        let refused = match head.get(STATUS) {
            Some(b"413" | b"414" | b"431") => {
                Refused::new(ProblemCode::TooLarge, "the request's head is over its limit")
            }
            _ => Refused::new(ProblemCode::BadRequest, "the request is not well-formed HTTP"),
        };
        let id = refusal::request_id();
        if let Sample::Write { suppressed } = self.lines.take(refused.code()) {
            tracing::warn!(code = refused.code(), suppressed, request_id = id, reason = %refused, "not HTTP");
        }
        let answer = refusal::answer(&refused.problem(&id));
        let (status, body) = (answer.status(), answer.body());
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {}\r\ncontent-length: {}\r\n{}: {id}\r\nconnection: close\r\n\r\n",
            wire::PROBLEM_JSON,
            body.len(),
            refusal::REQUEST_ID
        );
        [head.as_bytes(), body].concat()
    }
}

impl<S: AsyncWrite + Unpin> Http1Io<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.out.advance(written),
            }
        }
        // Between attestations a connection rests for minutes: it keeps no buffer meanwhile.
        self.out = BytesMut::new();
        Pin::new(&mut self.inner).poll_flush(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Http1Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        let gave_bytes = read.is_ready() && buf.filled().len() > before;
        self.last_read = if gave_bytes { LastRead::GaveBytes } else { LastRead::WouldBlock };
        if read.is_pending()
            && let Poll::Ready(Err(error)) = self.poll_drain(cx)
        {
            return Poll::Ready(Err(error));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http1Io<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.out.len() >= FULL {
            ready!(self.poll_drain(cx))?;
        }
        if is_bare_error(buf) {
            let problem = self.problem(buf);
            self.out.extend_from_slice(&problem);
        } else {
            self.out.extend_from_slice(buf);
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.last_read {
            LastRead::GaveBytes => Poll::Ready(Ok(())),
            LastRead::WouldBlock => self.poll_drain(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// An error without a body.
fn is_bare_error(head: &[u8]) -> bool {
    let start = head.get(..head.len().min(LOOK)).unwrap_or_default();
    start.starts_with(b"HTTP/1.1 4") && start.windows(NO_BODY.len()).any(|part| part == NO_BODY)
}

/// Where the status stands in `HTTP/1.1 400 …`.
const STATUS: std::ops::Range<usize> = 9..12;

const NO_BODY: &[u8] = b"\r\ncontent-length: 0\r\n";

/// hyper's own heads are shorter.
const LOOK: usize = 200;

/// Answers held back at most: a few dozen.
const FULL: usize = 16 * 1024;
