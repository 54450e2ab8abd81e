use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use countersign_protocol::ProblemCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    log::{Sample, Sampler},
    refusal::{self, Refused},
};

/// Gives hyper's own answers the form of all others.
///
/// What is not HTTP never reaches a handler: hyper answers it with a bare
/// status. Our answers always have a body, so an error head without one can
/// only be hyper's, and goes out as a problem with code and request id.
pub(super) struct Stray<S> {
    inner: S,
    lines: Arc<Sampler>,
    /// What goes out instead, and how much of it is out.
    instead: Option<(Vec<u8>, usize)>,
}

impl<S> Stray<S> {
    pub(super) fn new(inner: S, lines: Arc<Sampler>) -> Self {
        Self { inner, lines, instead: None }
    }

    fn translate(&self, head: &[u8]) -> Option<Vec<u8>> {
        if !is_stray(head) {
            return None;
        }
        let status = head.get(9..12)?;
        let refused = match status {
            b"413" | b"414" | b"431" => {
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
            countersign_protocol::wire::PROBLEM_JSON,
            body.len(),
            refusal::REQUEST_ID
        );
        Some([head.as_bytes(), body].concat())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stray<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stray<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.instead.is_none() {
            match self.translate(buf) {
                Some(instead) => self.instead = Some((instead, 0)),
                None => return Pin::new(&mut self.inner).poll_write(cx, buf),
            }
        }
        let Self { inner, instead, .. } = &mut *self;
        while let Some((bytes, out)) = instead {
            let rest = bytes.get(*out..).unwrap_or_default();
            if rest.is_empty() {
                *instead = None;
                break;
            }
            match ready!(Pin::new(&mut *inner).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => *out += written,
            }
        }
        // hyper sees its own bytes gone.
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs.iter().find(|buf| !buf.is_empty()) {
            Some(first) if self.instead.is_some() || is_stray(first) => self.poll_write(cx, first),
            _ => Pin::new(&mut self.inner).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

/// An error without a body.
fn is_stray(head: &[u8]) -> bool {
    head.starts_with(b"HTTP/1.1 4")
        && head.windows(BODILESS.len()).any(|part| part.eq_ignore_ascii_case(BODILESS))
}

const BODILESS: &[u8] = b"\r\ncontent-length: 0\r\n";
