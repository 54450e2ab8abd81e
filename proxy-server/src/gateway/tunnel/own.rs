use std::{
    future::Future,
    io::{self, IoSlice, IoSliceMut, Read},
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use socket2::{SockRef, Socket};
use tokio::{
    io::{AsyncWrite, Interest},
    net::TcpStream,
};

use super::{Direction, Flow, Meters, ROUNDS, Traffic, TunnelEnd};
use crate::{
    gateway::{
        backlog::Backlog,
        records::{FRAME, HEADER, LEAD, MAX_SLICES, PLAIN},
        scratch::{FRAMES, Scratch, with_scratch},
        stream::{Sent, StreamError, TlsStream, reset},
    },
    session::TunnelPermit,
};

/// A tunnel with a TLS connection to itself (HTTP/1.1 CONNECT).
pub(crate) struct OwnTunnel {
    client: TlsStream,
    upstream: TcpStream,
    /// Plaintext that the destination did not take yet.
    backlog: Backlog,
    /// Behind the sockets, which are dropped before it: when it is given back, no byte
    /// of the tunnel can move any more.
    permit: TunnelPermit,
    meters: Option<Box<Meters>>,
    up: Direction,
    down: Direction,
    /// Frames to read at once, each way: few after a reader was slow, so that
    /// what may have to be kept for it is little.
    up_frames: usize,
    down_frames: usize,
    flow: Flow,
}

impl OwnTunnel {
    /// Forwards between the two from now on; `early` came behind the request.
    pub(crate) fn new(
        mut client: TlsStream,
        upstream: TcpStream,
        permit: TunnelPermit,
        meters: Option<Meters>,
        flow: Flow,
        early: &[u8],
    ) -> Self {
        let mut backlog = Backlog::default();
        backlog.extend(early);
        backlog.extend(client.take_plain().take(usize::MAX));
        let mut flow = flow;
        flow.so_far.up = backlog.len() as u64;
        flow.tell(Traffic::default());
        let (up, down) = (Direction::Open, Direction::Open);
        let mut meters = meters.map(Box::new);
        if let Some(meters) = &mut meters {
            meters.up.moved(backlog.len());
        }
        Self { client, upstream, backlog, permit, meters, up, down, up_frames: 1, down_frames: 1, flow }
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
                    _ => return Poll::Pending,
                }
            }
        };
        self.abort(&end);
        Poll::Ready(end)
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TunnelEnd>> {
        for _ in 0..ROUNDS {
            ready!(self.backlog.poll_flush(cx, &mut self.upstream)).map_err(TunnelEnd::Upstream)?;
            if self.up == Direction::Open && self.client.is_read_closed() {
                self.up = Direction::Ending;
            }
            match self.up {
                Direction::Open => {}
                Direction::Ending => {
                    ready!(Pin::new(&mut self.upstream).poll_shutdown(cx)).map_err(TunnelEnd::Upstream)?;
                    self.up = Direction::Done;
                    return Poll::Ready(Ok(()));
                }
                Direction::Done => return Poll::Ready(Ok(())),
            }
            let Self { client, upstream, backlog, meters, .. } = self;
            let mut ahead = self.up_frames * FRAME;
            if let Some(meters) = meters {
                // A tunnel that has nothing to read takes no turn.
                let ready = ready!(client.tcp().poll_read_ready(cx));
                ready.map_err(|error| TunnelEnd::Client(StreamError::Io(error)))?;
                ahead = ready!(meters.up.poll_turn(cx, ahead));
            }
            let mut upstream_error = None;
            let received = ready!(client.poll_receive(cx, ahead, |cx, bytes, slices| {
                forward(cx, upstream, backlog, bytes, slices).map_err(|error| {
                    upstream_error = Some(error);
                    StreamError::Truncated
                })
            }));
            if let Some(error) = upstream_error {
                return Poll::Ready(Err(TunnelEnd::Upstream(error)));
            }
            let received = received.map_err(TunnelEnd::Client)?;
            if let Some(meters) = meters {
                meters.up.moved(received.bytes);
            }
            self.flow.so_far.up += received.bytes as u64;
            self.up_frames = next_frames(self.up_frames, received.full, self.backlog.is_empty());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TunnelEnd>> {
        for _ in 0..ROUNDS {
            match self.down {
                Direction::Open => ready!(self.client.poll_sent(cx)).map_err(TunnelEnd::Client)?,
                Direction::Ending => {
                    ready!(self.client.poll_close(cx)).map_err(TunnelEnd::Client)?;
                    self.down = Direction::Done;
                    return Poll::Ready(Ok(()));
                }
                Direction::Done => return Poll::Ready(Ok(())),
            }
            let Self { client, upstream, down_frames, meters, .. } = self;
            let mut frames = *down_frames;
            if let Some(meters) = meters {
                ready!(upstream.poll_read_ready(cx)).map_err(TunnelEnd::Upstream)?;
                frames = (ready!(meters.down.poll_turn(cx, frames * PLAIN)) / PLAIN).max(1);
            }
            let step = with_scratch(|Scratch { area, .. }| {
                let gaps = area.get_mut(LEAD..).unwrap_or_default();
                let read =
                    ready!(poll_read_frames(cx, upstream, gaps, frames)).map_err(TunnelEnd::Upstream)?;
                if read == 0 {
                    return Poll::Ready(Ok((0, Sent::All)));
                }
                let sent = client.send_frames(cx, area, read).map_err(TunnelEnd::Client)?;
                Poll::Ready(Ok((read, sent)))
            });
            let (read, sent) = ready!(step)?;
            if let Some(meters) = meters {
                meters.down.moved(read);
            }
            if read == 0 {
                self.down = Direction::Ending;
                continue;
            }
            self.flow.so_far.down += read as u64;
            self.down_frames = next_frames(frames, read == frames * PLAIN, sent == Sent::All);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ends both connections at once; nothing drains.
    fn abort(&mut self, end: &TunnelEnd) {
        if let TunnelEnd::Client(StreamError::Record(error)) = end {
            // The alert must reach the client, so its connection ends in order.
            self.client.send_alert(error);
        } else {
            reset(self.client.tcp());
        }
        reset(&self.upstream);
    }
}

impl Future for OwnTunnel {
    type Output = TunnelEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        let tunnel = self.get_mut();
        let before = tunnel.flow.so_far;
        let polled = tunnel.poll_end(cx);
        tunnel.flow.tell(before);
        polled
    }
}

/// Grows fourfold while reads are full and writes complete; back to one when a
/// write was not.
fn next_frames(frames: usize, full: bool, all_sent: bool) -> usize {
    match (all_sent, full) {
        (false, _) => 1,
        (true, true) => (frames * 4).min(FRAMES),
        (true, false) => frames,
    }
}

/// Writes the slices with as few calls as the socket needs; what it does not
/// take goes to the backlog.
fn forward(
    cx: &mut Context<'_>,
    upstream: &mut TcpStream,
    backlog: &mut Backlog,
    bytes: &[u8],
    slices: &[Range<usize>],
) -> io::Result<()> {
    let mut places = [IoSlice::new(&[]); MAX_SLICES];
    let mut count = 0;
    for (place, range) in places.iter_mut().zip(slices) {
        *place = IoSlice::new(bytes.get(range.clone()).unwrap_or_default());
        count += 1;
    }
    let mut rest = places.get_mut(..count).unwrap_or_default();
    while !rest.is_empty() && backlog.is_empty() {
        match Pin::new(&mut *upstream).poll_write_vectored(cx, rest) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(sent)) => IoSlice::advance_slices(&mut rest, sent),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    rest.iter().for_each(|slice| backlog.extend(slice));
    Ok(())
}

/// Reads into the gaps of `frames` frames with one call. Zero is the end.
fn poll_read_frames(
    cx: &mut Context<'_>,
    socket: &TcpStream,
    gaps: &mut [u8],
    frames: usize,
) -> Poll<io::Result<usize>> {
    let mut chunks = gaps.chunks_mut(FRAME).take(frames);
    let mut slices: [IoSliceMut<'_>; FRAMES] = std::array::from_fn(|_| {
        let gap = chunks.next().and_then(|frame| frame.get_mut(HEADER..HEADER + PLAIN));
        IoSliceMut::new(gap.unwrap_or_default())
    });
    let slices = slices.get_mut(..frames).unwrap_or_default();
    loop {
        ready!(socket.poll_read_ready(cx))?;
        let mut read = None;
        let outcome = socket.try_io(Interest::READABLE, || {
            let lent = SockRef::from(socket);
            let mut reader: &Socket = &lent;
            let got = reader.read_vectored(slices)?;
            read = Some(got);
            // A short read has emptied the socket. Saying so spares the read that
            // would only learn it; tokio's own poll_read does the same. The end of
            // the stream has a readiness of its own, which this does not clear.
            if got > 0 && got < frames * PLAIN { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match (read, outcome) {
            (Some(read), _) => return Poll::Ready(Ok(read)),
            (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            (None, Err(error)) => return Poll::Ready(Err(error)),
            (None, Ok(())) => return Poll::Ready(Ok(0)),
        }
    }
}
