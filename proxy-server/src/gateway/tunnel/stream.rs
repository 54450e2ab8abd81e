use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{Direction, Flow, Meters, ROUNDS, Traffic, TunnelEnd};
use crate::{
    gateway::{
        scratch::{Scratch, with_scratch},
        stream::reset,
    },
    session::TunnelPermit,
};

/// A tunnel that is one stream of an HTTP/2 connection (RFC 9113 section 8.5).
pub(crate) struct StreamTunnel {
    from_client: RecvStream,
    to_client: SendStream<Bytes>,
    upstream: TcpStream,
    /// Data that the destination did not take yet; its window is not given back before.
    pending: Bytes,
    /// Behind the socket, which is dropped before it. What stands in the connection's
    /// buffers is the connection's: it watches the session's end itself.
    permit: TunnelPermit,
    meters: Option<Box<Meters>>,
    up: Direction,
    down: Direction,
    window: Window,
    flow: Flow,
}

/// Whether the stream holds a share of the connection's send window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Window {
    Free,
    Reserved,
}

impl StreamTunnel {
    /// Forwards between stream and destination from now on.
    pub(crate) fn new(
        from_client: RecvStream,
        to_client: SendStream<Bytes>,
        upstream: TcpStream,
        permit: TunnelPermit,
        meters: Option<Meters>,
        flow: Flow,
    ) -> Self {
        Self {
            from_client,
            to_client,
            upstream,
            pending: Bytes::new(),
            permit,
            meters: meters.map(Box::new),
            up: Direction::Open,
            down: Direction::Open,
            window: Window::Free,
            flow,
        }
    }

    /// What went through so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.flow.so_far
    }

    /// Both directions and the cut, each as far as it goes now.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        let end = match self.permit.poll_cut(cx) {
            Poll::Ready(reason) => TunnelEnd::Cut(reason),
            Poll::Pending => {
                let up = self.poll_up(cx);
                let down = self.poll_down(cx);
                match (up, down) {
                    (Poll::Ready(Err(end)), _) | (_, Poll::Ready(Err(end))) => end,
                    (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(TunnelEnd::Closed),
                    // Nobody reads the stream any more, so nobody else sees its reset.
                    (Poll::Ready(Ok(())), _) => match self.to_client.poll_reset(cx) {
                        Poll::Ready(Ok(reason)) => TunnelEnd::Stream(reason.into()),
                        Poll::Ready(Err(error)) => TunnelEnd::Stream(error),
                        Poll::Pending => return Poll::Pending,
                    },
                    _ => return Poll::Pending,
                }
            }
        };
        self.abort(&end);
        Poll::Ready(end)
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TunnelEnd>> {
        for _ in 0..ROUNDS {
            while !self.pending.is_empty() {
                let mut bytes: &[u8] = &self.pending;
                if let Some(meters) = &mut self.meters {
                    let turn = ready!(meters.up.poll_turn(cx, bytes.len()));
                    bytes = bytes.get(..turn).unwrap_or(bytes);
                }
                let wrote = ready!(Pin::new(&mut self.upstream).poll_write(cx, bytes));
                let wrote = wrote.map_err(TunnelEnd::Upstream)?;
                if let Some(meters) = &mut self.meters {
                    meters.up.moved(wrote);
                }
                self.pending.advance(wrote);
                self.from_client.flow_control().release_capacity(wrote).map_err(TunnelEnd::Stream)?;
            }
            match self.up {
                Direction::Open => {}
                // "a proxy [...] END_STREAM flag [...] is treated as being equivalent to the TCP FIN bit".
                Direction::Ending => {
                    ready!(Pin::new(&mut self.upstream).poll_shutdown(cx)).map_err(TunnelEnd::Upstream)?;
                    self.up = Direction::Done;
                    return Poll::Ready(Ok(()));
                }
                Direction::Done => return Poll::Ready(Ok(())),
            }
            match ready!(self.from_client.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.flow.so_far.up += data.len() as u64;
                    self.pending = data;
                }
                Some(Err(error)) => return Poll::Ready(Err(TunnelEnd::Stream(error))),
                None => {
                    self.pending = Bytes::new();
                    self.up = Direction::Ending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TunnelEnd>> {
        for _ in 0..ROUNDS {
            if self.down == Direction::Done {
                return Poll::Ready(Ok(()));
            }
            // An idle stream must not sit on window that others could use.
            let Poll::Ready(ready) = self.upstream.poll_read_ready(cx) else {
                self.release_window();
                return Poll::Pending;
            };
            ready.map_err(TunnelEnd::Upstream)?;
            let mut most = CHUNK;
            if let Some(meters) = &mut self.meters {
                // Before the window: who waits for a turn must not sit on it either.
                let Poll::Ready(turn) = meters.down.poll_turn(cx, CHUNK) else {
                    self.release_window();
                    return Poll::Pending;
                };
                most = turn;
            }
            let room = ready!(self.poll_window(cx))?;
            let Self { upstream, .. } = self;
            let read = with_scratch(|Scratch { area, .. }| {
                let room = room.min(most);
                let mut into = ReadBuf::new(area.get_mut(..room).unwrap_or_default());
                ready!(Pin::new(upstream).poll_read(cx, &mut into)).map_err(TunnelEnd::Upstream)?;
                Poll::Ready(Ok(Bytes::copy_from_slice(into.filled())))
            });
            let Poll::Ready(data) = read else {
                self.release_window();
                return Poll::Pending;
            };
            let data = data?;
            if let Some(meters) = &mut self.meters {
                meters.down.moved(data.len());
            }
            let last = data.is_empty();
            self.flow.so_far.down += data.len() as u64;
            self.to_client.send_data(data, last).map_err(TunnelEnd::Stream)?;
            if last {
                self.down = Direction::Done;
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// How much the client, its connection and our own bound let us send.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, TunnelEnd>> {
        if self.to_client.capacity() == 0 || self.window == Window::Free {
            self.to_client.reserve_capacity(CHUNK);
            self.window = Window::Reserved;
        }
        loop {
            if self.to_client.capacity() > 0 {
                return Poll::Ready(Ok(self.to_client.capacity()));
            }
            match ready!(self.to_client.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(TunnelEnd::Stream(error))),
                None => return Poll::Ready(Err(TunnelEnd::Stream(Reason::CANCEL.into()))),
            }
        }
    }

    fn release_window(&mut self) {
        if self.window == Window::Reserved {
            self.to_client.reserve_capacity(0);
            self.window = Window::Free;
        }
    }

    /// "A proxy treats any error in the TCP connection [...] as a stream error of
    /// type CONNECT_ERROR. Correspondingly, a proxy MUST send a TCP segment with
    /// the RST bit set if it detects an error with the stream or the connection."
    fn abort(&mut self, end: &TunnelEnd) {
        let reason =
            if matches!(end, TunnelEnd::Upstream(_)) { Reason::CONNECT_ERROR } else { Reason::CANCEL };
        self.to_client.send_reset(reason);
        reset(&self.upstream);
    }
}

impl Future for StreamTunnel {
    type Output = TunnelEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        let tunnel = self.get_mut();
        let before = tunnel.flow.so_far;
        let polled = tunnel.poll_end(cx);
        tunnel.flow.tell(before);
        polled
    }
}

/// The most read from the destination at once: what one stream may keep in memory
/// when its connection is slow.
const CHUNK: usize = 64 * 1024;
