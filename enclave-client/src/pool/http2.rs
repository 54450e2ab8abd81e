use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use countersign_protocol::Destination;
use countersign_telemetry::TraceContext;
use h2::{
    PingPong, RecvStream, SendStream,
    client::{Builder, SendRequest},
};
use http::{Method, Request};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Gateway, OpenError, Tunnel, limits};
use crate::attest::Attested;

/// A standing HTTP/2 connection. Clones share it; it ends when the last clone
/// and the last stream are gone, when the lease lapses, or when pings stay unanswered.
#[derive(Clone)]
pub(super) struct Standing {
    requests: SendRequest<Bytes>,
    room: Arc<Semaphore>,
    closed: CancellationToken,
    since: Instant,
}

impl Standing {
    pub(super) async fn connect(
        gateway: &Gateway,
        attested: &Attested,
        cut: &CancellationToken,
    ) -> Result<Self, OpenError> {
        let stream = gateway.connect(attested, &attested.http2, None).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(OpenError::Gateway("it does not speak HTTP/2".to_owned()));
        }
        let handshake = Builder::new()
            .initial_window_size(limits::STREAM_WINDOW)
            .initial_connection_window_size(limits::CONNECTION_WINDOW)
            .max_header_list_size(limits::MAX_HEAD as u32)
            // h2 counts its own resets over a connection's whole life and gives it up at 1,024: a
            // guard for servers. This peer is the proxy we checked, and frames that cross our
            // reset of a stream count too.
            .max_local_error_reset_streams(None)
            .enable_push(false)
            .handshake(stream);
        let (requests, mut connection) = timeout(limits::HANDSHAKE_DEADLINE, handshake)
            .await
            .map_err(|_| OpenError::Deadline)?
            .map_err(|why| OpenError::broke("HTTP/2", &why))?;
        let closed = CancellationToken::new();
        let pings = connection.ping_pong();
        let (cut, ended) = (cut.clone(), closed.clone().drop_guard());
        tokio::spawn(async move {
            let _ended = ended;
            tokio::select! {
                // Whoever holds a stream learns why from the stream.
                _ = connection => {}
                () = keep_asking(pings) => {}
                () = cut.cancelled() => {}
            }
        });
        Ok(Self { requests, room: Arc::new(Semaphore::new(limits::STREAMS)), closed, since: Instant::now() })
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.closed.is_cancelled()
    }

    pub(super) fn has_room(&self) -> bool {
        let used = limits::STREAMS - self.room.available_permits();
        self.is_alive() && used < limits::STREAMS.min(self.requests.current_max_send_streams())
    }

    /// `CONNECT` (RFC 9113 section 8.5).
    pub(super) async fn open(
        self,
        destination: &Destination,
        cut: &CancellationToken,
        trace: Option<TraceContext>,
    ) -> Result<Tunnel, OpenError> {
        let broke = |why: h2::Error| OpenError::broke("CONNECT", &why);
        let mut request = Request::builder().method(Method::CONNECT).uri(destination.to_string());
        if let Some(trace) = trace {
            request = request.header(TraceContext::HEADER, trace.to_string());
        }
        let request = request.body(()).map_err(|why| OpenError::broke("CONNECT", &why))?;
        let full = |_| OpenError::Gateway("the standing connection is full".to_owned());
        let permit = self.room.try_acquire_owned().map_err(full)?;
        let mut requests = self.requests.ready().await.map_err(broke)?;
        let (response, send) = requests.send_request(request, false).map_err(broke)?;
        let (head, receive) = response.await.map_err(broke)?.into_parts();
        if head.status.is_success() {
            let stream = H2Stream { send, receive, unread: Bytes::new(), _permit: permit };
            return Ok(Tunnel::stream(stream, cut.clone()));
        }
        let body = read_body(receive).await;
        Err(OpenError::refusal(head.status.as_u16(), &body))
    }
}

async fn read_body(mut receive: RecvStream) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(Ok(data)) = receive.data().await {
        let room = limits::MAX_PROBLEM - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        if body.len() == limits::MAX_PROBLEM || receive.flow_control().release_capacity(data.len()).is_err() {
            break;
        }
    }
    body
}

/// Returns when a ping stays unanswered.
async fn keep_asking(pings: Option<PingPong>) {
    let Some(mut pings) = pings else {
        return std::future::pending().await;
    };
    loop {
        sleep(limits::PING_EVERY).await;
        if !matches!(timeout(limits::PING_DEADLINE, pings.ping(h2::Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}

/// One stream as a pair of byte streams. Dropped early it is reset with
/// CANCEL, so that the other end never takes a cut for an end.
pub(super) struct H2Stream {
    send: SendStream<Bytes>,
    receive: RecvStream,
    unread: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for H2Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.receive.poll_data(cx)) {
                Some(data) => self.unread = data.map_err(io::Error::other)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let take = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..take]);
        self.unread.advance(take);
        // The window reopens only by what was handed on: a slow reader holds the sender back.
        self.receive.flow_control().release_capacity(take).map_err(io::Error::other)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for H2Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.send.reserve_capacity(data.len());
        loop {
            let room = match self.send.capacity() {
                0 => match ready!(self.send.poll_capacity(cx)) {
                    Some(room) => room.map_err(io::Error::other)?,
                    None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                },
                room => room,
            };
            if room > 0 {
                let take = room.min(data.len());
                let chunk = Bytes::copy_from_slice(&data[..take]);
                self.send.send_data(chunk, false).map_err(io::Error::other)?;
                return Poll::Ready(Ok(take));
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Half-close: END_STREAM one way, the other way goes on.
        Poll::Ready(self.send.send_data(Bytes::new(), true).map_err(io::Error::other))
    }
}
