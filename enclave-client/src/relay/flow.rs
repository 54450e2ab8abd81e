use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::ReadBuf,
    time::{Instant, Sleep, sleep},
};

use super::{
    Early, End, Side,
    scratch::{SCRATCH, with_scratch},
};

/// Both directions, and the watch over the side that is done speaking.
pub(super) struct Flow {
    up: Direction,
    down: Direction,
    watch: Option<Pin<Box<Sleep>>>,
}

/// One direction.
struct Direction {
    state: State,
    /// What the sink did not take yet; the source is not read before it has.
    backlog: Bytes,
    /// What to read at once.
    size: usize,
    /// Something may stand in the sink's own buffer.
    unflushed: bool,
    moved: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Bytes may come.
    Open,
    /// The source ended; what is left is on its way.
    Ending,
    /// The sink was told of the end.
    Done,
}

/// Which of a direction's two sides broke.
enum Broke {
    Source(io::Error),
    Sink(io::Error),
}

impl Flow {
    pub(super) fn new(early: Early) -> Self {
        let Early { up, down } = early;
        Self { up: Direction::new(up), down: Direction::new(down), watch: None }
    }

    /// Bytes up and down.
    pub(super) fn moved(&self) -> (u64, u64) {
        (self.up.moved, self.down.moved)
    }

    pub(super) fn poll<N: Side, F: Side>(
        &mut self,
        cx: &mut Context<'_>,
        near: &mut N,
        far: &mut F,
    ) -> Poll<End> {
        let near_is_written = self.down.state != State::Done;
        let up = self.up.poll(cx, near, far, near_is_written);
        let far_is_written = self.up.state != State::Done;
        let down = self.down.poll(cx, far, near, far_is_written);
        match (up, down) {
            (Poll::Ready(Err(Broke::Source(why))), _) | (_, Poll::Ready(Err(Broke::Sink(why)))) => {
                Poll::Ready(End::Near(why))
            }
            (Poll::Ready(Err(Broke::Sink(why))), _) | (_, Poll::Ready(Err(Broke::Source(why)))) => {
                Poll::Ready(End::Far(why))
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(End::Finished),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            (Poll::Ready(Ok(())), Poll::Pending) => self.watch(cx, near).map(End::Near),
            (Poll::Pending, Poll::Ready(Ok(()))) => self.watch(cx, far).map(End::Far),
        }
    }

    /// Half-open: `quiet` has said everything and nobody reads it any more, so
    /// nobody would see it vanish. It is looked at now and then.
    fn watch<S: Side>(&mut self, cx: &mut Context<'_>, quiet: &S) -> Poll<io::Error> {
        let watch = self.watch.get_or_insert_with(|| Box::pin(sleep(WATCH)));
        loop {
            ready!(watch.as_mut().poll(cx));
            if quiet.is_gone() {
                return Poll::Ready(io::ErrorKind::ConnectionReset.into());
            }
            watch.as_mut().reset(Instant::now() + WATCH);
        }
    }
}

impl Direction {
    fn new(early: Bytes) -> Self {
        Self {
            state: State::Open,
            moved: early.len() as u64,
            backlog: early,
            size: SMALLEST,
            unflushed: false,
        }
    }

    /// Ready when the sink was told of the end.
    fn poll<S: Side, K: Side>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        sink: &mut K,
        source_is_written: bool,
    ) -> Poll<Result<(), Broke>> {
        for _ in 0..ROUNDS {
            ready!(self.poll_backlog(cx, sink)).map_err(Broke::Sink)?;
            match self.state {
                State::Open => {}
                State::Ending => {
                    ready!(Pin::new(sink).poll_shutdown(cx)).map_err(Broke::Sink)?;
                    self.state = State::Done;
                    return Poll::Ready(Ok(()));
                }
                State::Done => return Poll::Ready(Ok(())),
            }
            match self.poll_move(cx, source, sink) {
                Poll::Ready(Ok(0)) if source_is_written && source.is_gone() => {
                    return Poll::Ready(Err(Broke::Source(io::ErrorKind::ConnectionReset.into())));
                }
                Poll::Ready(Ok(0)) => self.state = State::Ending,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(broke)) => return Poll::Ready(Err(broke)),
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(sink).poll_flush(cx)).map_err(Broke::Sink)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once and writes what the sink takes; how much was read, 0 at the end.
    fn poll_move<S: Side, K: Side>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        sink: &mut K,
    ) -> Poll<Result<usize, Broke>> {
        with_scratch(|scratch| {
            let mut room = ReadBuf::new(scratch.get_mut(..self.size).unwrap_or_default());
            ready!(Pin::new(source).poll_read(cx, &mut room)).map_err(Broke::Source)?;
            let read = room.filled();
            let mut rest = read;
            while !rest.is_empty() {
                match Pin::new(&mut *sink).poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(Broke::Sink(io::ErrorKind::WriteZero.into())));
                    }
                    Poll::Ready(Ok(taken)) => rest = rest.get(taken..).unwrap_or_default(),
                    Poll::Ready(Err(why)) => return Poll::Ready(Err(Broke::Sink(why))),
                    Poll::Pending => break,
                }
            }
            self.unflushed |= !read.is_empty();
            self.moved += read.len() as u64;
            self.size = next_size(self.size, read.len(), rest.is_empty());
            self.backlog = Bytes::copy_from_slice(rest);
            Poll::Ready(Ok(read.len()))
        })
    }

    fn poll_backlog<K: Side>(&mut self, cx: &mut Context<'_>, sink: &mut K) -> Poll<io::Result<()>> {
        while !self.backlog.is_empty() {
            match ready!(Pin::new(&mut *sink).poll_write(cx, &self.backlog))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.backlog.advance(taken),
            }
            self.unflushed = true;
        }
        // An empty rest of a buffer would hold the whole of it.
        self.backlog = Bytes::new();
        Poll::Ready(Ok(()))
    }
}

/// Grows fourfold while reads are full and writes complete; small again after a
/// reader was slow, so that little has to be kept for it.
fn next_size(size: usize, read: usize, all_written: bool) -> usize {
    match (all_written, read == size) {
        (false, _) => SMALLEST,
        (true, true) => (size * 4).min(SCRATCH),
        (true, false) => size,
    }
}

/// The first read of a direction.
const SMALLEST: usize = 16 * 1024;

/// Reads of one direction before others have their turn.
const ROUNDS: usize = 8;

/// How often a half-open relay looks whether its quiet side is still there. A
/// process that is gone is found by TCP's keepalive, which takes longer than this.
const WATCH: Duration = Duration::from_secs(15);
