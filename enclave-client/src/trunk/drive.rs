use std::{
    future::{Future, poll_fn},
    io, mem,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::ReadBuf,
    time::{Instant, Sleep, sleep},
};
use tracing::{debug, warn};

use super::{
    frame::Broken,
    lane::{Connection, Shared},
    state::Over,
};
use crate::{relay::with_scratch, throttle::Throttle};

/// Writes what lanes say and reads what they are told, until the connection is over, or nobody needs it.
pub(super) async fn drive<S: Connection>(stream: S, driven: Driven, early: Bytes) {
    let shared = &driven.0;
    let mut driver = Driver { stream, writing: BytesMut::new(), farewell: None };
    let received = shared.state().receive(&early).map_err(Over::Broken);
    drop(early);
    let over = match received {
        Ok(()) => poll_fn(|cx| driver.poll(cx, shared)).await,
        Err(over) => Some(over),
    };
    match over {
        Some(Over::Broken(why)) => {
            if let Some(held_back) = BROKEN.pass(Instant::now()) {
                warn!(code = "trunk-broken", held_back, "the connection between the halves is ended: {why}");
            }
        }
        Some(Over::Gone(why)) => {
            debug!(code = "trunk-over", "the connection between the halves is over: {why}")
        }
        None => debug!(code = "trunk-over", "the connection between the halves is not needed any more"),
    }
    if let Some(over) = over {
        shared.state().end(over);
    }
}

/// Dropped, done or not, it ends every lane: nobody carries them any more.
pub(super) struct Driven(pub(super) Arc<Shared>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.state().end(Over::Gone(io::ErrorKind::NotConnected));
    }
}

/// Whoever breaks one after the other fills no log.
static BROKEN: LazyLock<Throttle> = LazyLock::new(Throttle::default);

struct Driver<S> {
    stream: S,
    /// What is being written, apart from what is said meanwhile.
    writing: BytesMut,
    /// Runs once nobody at this end needs the trunk any more.
    farewell: Option<Pin<Box<Sleep>>>,
}

impl<S: Connection> Driver<S> {
    /// One turn: everything that was said goes out, what came goes to its lanes. Those that were
    /// waiting for it run before the next turn, so that their answers leave together.
    fn poll(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<Option<Over>> {
        let mut again = false;
        let mut left;
        loop {
            {
                let mut state = shared.state();
                if self.writing.is_empty() {
                    mem::swap(&mut self.writing, &mut state.out);
                }
                left = state.is_left();
                again |= state.drive(cx);
                if state.is_unread() {
                    return Poll::Ready(Some(Over::Broken(Broken::Unread)));
                }
                if self.writing.is_empty() {
                    if state.is_done() {
                        return Poll::Ready(None);
                    }
                    break;
                }
            }
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => {}
                // Whoever takes no more may have said much before: reading finds the end behind it.
                Poll::Ready(Err(_)) | Poll::Pending => break,
            }
        }
        if left {
            // The last words are read in time, or not at all.
            let farewell = self.farewell.get_or_insert_with(|| Box::pin(sleep(FAREWELL)));
            if farewell.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
        }
        match self.poll_read(cx, shared) {
            Poll::Ready(Ok(())) => again = true,
            Poll::Ready(Err(over)) => return Poll::Ready(Some(over)),
            Poll::Pending => {}
        }
        if again {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.writing.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.writing))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.writing.advance(written),
            }
        }
        // Its room is used again.
        self.writing.clear();
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<Result<(), Over>> {
        with_scratch(|scratch| {
            let mut room = ReadBuf::new(scratch);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room));
            read.map_err(|why| Over::Gone(why.kind()))?;
            if room.filled().is_empty() {
                return Poll::Ready(Err(Over::Gone(io::ErrorKind::UnexpectedEof)));
            }
            Poll::Ready(shared.state().receive(room.filled()).map_err(Over::Broken))
        })
    }
}

/// For what is said last.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);
