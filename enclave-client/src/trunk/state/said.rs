use std::{
    io,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use super::{
    FULL, State,
    ends::{Heard, WINDOW},
};
use crate::trunk::frame::Frame;

/// What a lane asks for.
impl State {
    pub(in crate::trunk) fn poll_read(
        &mut self,
        lane: u32,
        cx: &Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(ends) = self.lanes.get_mut(&lane) else { return Poll::Ready(Err(reset())) };
        if ends.inbox.is_empty() {
            return match (ends.heard, &self.over) {
                (Heard::End, _) => Poll::Ready(Ok(())),
                (Heard::Reset, _) | (_, Some(_)) => Poll::Ready(Err(reset())),
                (Heard::Open, None) => {
                    ends.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        let taken = ends.inbox.len().min(buf.remaining());
        buf.put_slice(ends.inbox.get(..taken).unwrap_or_default());
        ends.inbox.advance(taken);
        if ends.inbox.is_empty() {
            ends.inbox = BytesMut::new();
        }
        if ends.heard == Heard::Open {
            let more = ends.grant(taken, &mut self.budget);
            if let Some(more) = more {
                self.say(Frame::Credit(more), lane);
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(in crate::trunk) fn poll_write(
        &mut self,
        lane: u32,
        cx: &Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(ends) = self.lanes.get_mut(&lane) else { return Poll::Ready(Err(broken_pipe())) };
        if ends.gone || ends.ended || self.over.is_some() {
            return Poll::Ready(Err(broken_pipe()));
        }
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let full = self.out.len() >= FULL;
        if full || ends.credit == 0 {
            if full && !std::mem::replace(&mut ends.waits, true) {
                self.waiting.push_back(lane);
            }
            ends.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = ends.credit.min(MAX_DATA).min(u32::try_from(data.len()).unwrap_or(u32::MAX));
        ends.credit -= len;
        self.out.extend_from_slice(&Frame::Data(len).head(lane));
        self.out.extend_from_slice(data.get(..len as usize).unwrap_or_default());
        self.wake_driver();
        Poll::Ready(Ok(len as usize))
    }

    /// Tells the other end that everything was said.
    pub(in crate::trunk) fn shutdown(&mut self, lane: u32) -> io::Result<()> {
        let Some(ends) = self.lanes.get_mut(&lane) else { return Err(broken_pipe()) };
        if ends.gone || self.over.is_some() {
            return Err(broken_pipe());
        }
        if !std::mem::replace(&mut ends.ended, true) {
            self.say(Frame::End, lane);
        }
        Ok(())
    }

    /// Nobody is at the other end any more.
    pub(in crate::trunk) fn is_gone(&self, lane: u32) -> bool {
        self.over.is_some() || self.lanes.get(&lane).is_none_or(|ends| ends.gone)
    }

    /// Nobody is at this end any more.
    pub(in crate::trunk) fn leave(&mut self, lane: u32) {
        let Some(ends) = self.lanes.remove(&lane) else { return };
        self.budget += ends.window - WINDOW;
        if ends.waits {
            self.waiting.retain(|waiting| *waiting != lane);
        }
        let finished = ends.ended && ends.heard == Heard::End;
        if !finished && !ends.gone && self.over.is_none() {
            self.say(Frame::Reset, lane);
        } else if self.retired {
            self.wake_driver();
        }
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

fn broken_pipe() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// Bytes in one frame: others have their turn.
const MAX_DATA: u32 = 64 * 1024;
