use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use countersign_protocol::Destination;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http1,
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    task::JoinHandle,
};

use super::{MAX_HEAD, framing::Framing, head::MAX_FIELDS};
use crate::{
    egress::Connection,
    relay::{Early, Side},
};

/// A connection to an origin server that speaks HTTP/1.1.
pub(super) struct Origin {
    destination: Destination,
    requests: http1::SendRequest<Content>,
    driver: JoinHandle<()>,
}

impl Origin {
    /// Speaks HTTP over a way that is open.
    pub(super) async fn new(destination: Destination, way: Connection) -> Result<Self, hyper::Error> {
        let cut = way.cut().cloned();
        let (requests, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .max_header_size(MAX_HEAD)
            .max_headers(MAX_FIELDS)
            .title_case_headers(true)
            .handshake(TokioIo::new(OriginIo { way, ended: false }))
            .await?;
        let driver = tokio::spawn(async move {
            // How it ended is seen by whoever waits for an answer.
            match cut {
                Some(cut) => drop(cut.run_until_cancelled(connection.with_upgrades()).await),
                None => drop(connection.with_upgrades().await),
            }
        });
        Ok(Self { destination, requests, driver })
    }

    /// Whether a request to the destination may go this way: the answer before was
    /// complete, neither side wants to close, and nothing came unasked.
    pub(super) async fn takes(&mut self, destination: &Destination) -> bool {
        self.destination == *destination && self.requests.ready().await.is_ok()
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Content>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.requests.send_request(request).await
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The plain connection again, after `101 Switching Protocols`, and what was read of it already.
pub(super) fn into_way(upgraded: Upgraded) -> Option<(Connection, Early)> {
    let parts = upgraded.downcast::<TokioIo<OriginIo>>().ok()?;
    let early = Early { down: parts.read_buf, ..Early::default() };
    Some((parts.io.into_inner().way, early))
}

/// A request's content on its way to the origin: what the pump puts in, and an error where it
/// found one, so that the origin never takes half of a request for the whole.
pub(super) struct Content {
    framing: Framing,
    parts: mpsc::Receiver<io::Result<Frame<Bytes>>>,
}

impl Content {
    /// The end to be filled, and the content. One part at a time is on the way.
    pub(super) fn new(framing: Framing) -> (mpsc::Sender<io::Result<Frame<Bytes>>>, Self) {
        let (fill, parts) = mpsc::channel(1);
        (fill, Self { framing, parts })
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.parts.poll_recv(cx)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.framing, Framing::Empty | Framing::Length(0))
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Empty => SizeHint::with_exact(0),
            Framing::Length(length) => SizeHint::with_exact(length),
            Framing::Chunked => SizeHint::default(),
        }
    }
}

/// The answer's next frame.
pub(super) async fn next_frame(answer: &mut Incoming) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    answer.frame().await
}

/// On a UNIX socket or vsock a break looks like an end, and an answer that lasts until
/// the end would be taken for complete. So the end is looked at, as a relay does it.
struct OriginIo {
    way: Connection,
    /// We have told the origin that no more comes.
    ended: bool,
}

impl AsyncRead for OriginIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        ready!(Pin::new(&mut self.way).poll_read(cx, buf))?;
        let at_end = room > 0 && buf.filled().len() == before;
        if at_end && !self.ended && self.way.is_gone() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for OriginIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.way).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.way).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.way.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.way).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended = true;
        Pin::new(&mut self.way).poll_shutdown(cx)
    }
}

/// hyper's buffer: room for a head and a good read.
const MAX_BUFFER: usize = 64 * 1024;
