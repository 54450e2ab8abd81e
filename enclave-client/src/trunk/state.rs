use std::{
    collections::{HashMap, VecDeque},
    io,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use super::frame::{Broken, Frame};

/// All that is known of a trunk, without its socket.
#[derive(Debug)]
pub(super) struct State {
    role: Role,
    lanes: HashMap<u32, Ends>,
    /// The number of the newest lane; 0 before the first.
    last: u32,
    /// Frames to be written.
    pub(super) out: BytesMut,
    /// Lanes whose writers wait until [`Self::out`] has room, each once.
    waiting: VecDeque<u32>,
    /// Lanes that the other end began and nobody took yet.
    arrived: VecDeque<u32>,
    incoming: Incoming,
    /// What windows may still grow by.
    budget: u32,
    /// No further lane begins.
    retired: bool,
    over: Option<Over>,
    /// Who writes frames and reads them, while it waits.
    driver: Option<Waker>,
    /// Who takes lanes, while it waits.
    door: Option<Waker>,
}

/// Which end begins lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// This one.
    Opens,
    /// The other one.
    Takes,
}

/// How a trunk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The connection did.
    Gone(io::ErrorKind),
    /// The other end said what it must not say.
    Broken(Broken),
}

/// One lane, as this end has it.
#[derive(Debug)]
struct Ends {
    /// What came and was not read yet: never more than was granted.
    inbox: BytesMut,
    heard: Heard,
    /// The other end is there no more.
    gone: bool,
    reader: Option<Waker>,
    /// What the other end may still send.
    granted: u32,
    /// What was read and not granted again yet.
    taken: u32,
    window: u32,
    /// What may still be sent.
    credit: u32,
    /// Whether the other end was told that everything was said.
    ended: bool,
    writer: Option<Waker>,
    /// Whether it stands in [`State::waiting`].
    waits: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// More may come.
    Open,
    /// Everything was said.
    End,
    /// It broke off.
    Reset,
}

/// The frame that is being read.
#[derive(Debug, Default)]
struct Incoming {
    head: [u8; Frame::HEAD],
    /// Bytes of the head that are there.
    known: usize,
    /// The lane of the data that follows, and how much of it is missing.
    lane: u32,
    missing: usize,
}

impl State {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            lanes: HashMap::new(),
            last: 0,
            out: BytesMut::new(),
            waiting: VecDeque::new(),
            arrived: VecDeque::new(),
            incoming: Incoming::default(),
            budget: BUDGET,
            retired: false,
            over: None,
            driver: None,
            door: None,
        }
    }

    /// Begins a lane; `None` where this trunk begins no more.
    pub(super) fn open(&mut self) -> Option<u32> {
        if self.retired || self.over.is_some() || self.lanes.len() >= MAX_LANES {
            return None;
        }
        self.last = self.last.checked_add(1)?;
        self.lanes.insert(self.last, Ends::new());
        self.say(Frame::Open, self.last);
        Some(self.last)
    }

    /// The next lane that the other end began; `None` when there will be no more.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<u32>> {
        match self.arrived.pop_front() {
            Some(lane) => Poll::Ready(Some(lane)),
            None if self.over.is_some() => Poll::Ready(None),
            None => {
                self.door = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// From now on no lane begins; those that did are carried to their ends.
    pub(super) fn retire(&mut self) {
        self.retired = true;
        for lane in std::mem::take(&mut self.arrived) {
            self.leave(lane);
        }
        self.wake_driver();
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Whether more waits to be written than whoever reads lets wait: some frames for each lane are always said.
    pub(super) fn is_unread(&self) -> bool {
        self.out.len() > FULL + MAX_UNREAD
    }

    /// Whether nobody at this end needs it any more.
    pub(super) fn is_left(&self) -> bool {
        self.retired && self.lanes.is_empty()
    }

    /// Whether there is nothing left to carry.
    pub(super) fn is_done(&self) -> bool {
        self.is_left() && self.out.is_empty()
    }

    /// Ends every lane.
    pub(super) fn end(&mut self, over: Over) {
        self.over.get_or_insert(over);
        for ends in self.lanes.values_mut() {
            wake(&mut ends.reader);
            wake(&mut ends.writer);
        }
        wake(&mut self.door);
    }

    /// Notes who drives, and lets some of those write who wait for room. Whether more of them wait.
    pub(super) fn drive(&mut self, cx: &Context<'_>) -> bool {
        match &mut self.driver {
            Some(driver) => driver.clone_from(cx.waker()),
            driver => *driver = Some(cx.waker().clone()),
        }
        if self.out.len() < FULL {
            for _ in 0..TURNS {
                let Some(lane) = self.waiting.pop_front() else { break };
                if let Some(ends) = self.lanes.get_mut(&lane) {
                    ends.waits = false;
                    wake(&mut ends.writer);
                }
            }
            return !self.waiting.is_empty();
        }
        false
    }

    fn wake_driver(&mut self) {
        wake(&mut self.driver);
    }

    /// A frame without data. There is always room for one: too many mean that nobody reads them.
    fn say(&mut self, frame: Frame, lane: u32) {
        self.out.extend_from_slice(&frame.head(lane));
        self.wake_driver();
    }
}

/// What a lane asks for.
impl State {
    pub(super) fn poll_read(
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

    pub(super) fn poll_write(&mut self, lane: u32, cx: &Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
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
    pub(super) fn shutdown(&mut self, lane: u32) -> io::Result<()> {
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
    pub(super) fn is_gone(&self, lane: u32) -> bool {
        self.over.is_some() || self.lanes.get(&lane).is_none_or(|ends| ends.gone)
    }

    /// Nobody is at this end any more.
    pub(super) fn leave(&mut self, lane: u32) {
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

/// What comes from the other end.
impl State {
    /// Takes frames, and parts of frames.
    pub(super) fn receive(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            let incoming = &mut self.incoming;
            if incoming.missing > 0 {
                let (data, rest) = bytes.split_at(incoming.missing.min(bytes.len()));
                incoming.missing -= data.len();
                bytes = rest;
                // A lane that this end has left: what was under way is for nobody.
                if let Some(ends) = self.lanes.get_mut(&incoming.lane) {
                    ends.inbox.extend_from_slice(data);
                    wake(&mut ends.reader);
                }
                continue;
            }
            let (part, rest) = bytes.split_at((Frame::HEAD - incoming.known).min(bytes.len()));
            let room = incoming.head.get_mut(incoming.known..).unwrap_or_default();
            room.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            incoming.known += part.len();
            bytes = rest;
            if incoming.known == Frame::HEAD {
                incoming.known = 0;
                let (lane, frame) = Frame::parse(incoming.head)?;
                self.hear(lane, frame)?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, lane: u32, frame: Frame) -> Result<(), Broken> {
        if frame == Frame::Open {
            return self.begin(lane);
        }
        if lane == 0 || lane > self.last {
            return Err(Broken::NoLane);
        }
        if let Frame::Data(len) = frame {
            (self.incoming.lane, self.incoming.missing) = (lane, len as usize);
        }
        let Some(ends) = self.lanes.get_mut(&lane) else { return Ok(()) };
        if ends.gone || (ends.heard == Heard::End && matches!(frame, Frame::Data(_) | Frame::End)) {
            return Err(Broken::AfterEnd);
        }
        match frame {
            Frame::Data(len) => ends.granted = ends.granted.checked_sub(len).ok_or(Broken::NoCredit)?,
            Frame::Credit(more) => {
                let credit = ends.credit.checked_add(more).filter(|credit| *credit <= Frame::MOST);
                ends.credit = credit.ok_or(Broken::Credit)?;
                wake(&mut ends.writer);
            }
            Frame::End => {
                ends.heard = Heard::End;
                wake(&mut ends.reader);
            }
            Frame::Reset => {
                ends.gone = true;
                // What was said to its end stays so.
                if ends.heard == Heard::Open {
                    ends.heard = Heard::Reset;
                }
                wake(&mut ends.reader);
                wake(&mut ends.writer);
            }
            Frame::Open => {}
        }
        Ok(())
    }

    fn begin(&mut self, lane: u32) -> Result<(), Broken> {
        if self.role == Role::Opens || lane <= self.last {
            return Err(Broken::Number);
        }
        self.last = lane;
        // The other end may have left lanes that this end has not left yet.
        if self.retired || self.lanes.len() >= MAX_LANES {
            self.say(Frame::Reset, lane);
            return Ok(());
        }
        self.lanes.insert(lane, Ends::new());
        self.arrived.push_back(lane);
        wake(&mut self.door);
        Ok(())
    }
}

impl Ends {
    fn new() -> Self {
        Self {
            inbox: BytesMut::new(),
            heard: Heard::Open,
            gone: false,
            reader: None,
            granted: WINDOW,
            taken: 0,
            window: WINDOW,
            credit: WINDOW,
            ended: false,
            writer: None,
            waits: false,
        }
    }

    /// So many bytes were read. What the other end is to be told, once it is half a window.
    /// Whoever needs a second window gets a larger one while the trunk can afford it.
    fn grant(&mut self, read: usize, budget: &mut u32) -> Option<u32> {
        self.taken += u32::try_from(read).unwrap_or(u32::MAX);
        if self.taken < self.window / 2 {
            return None;
        }
        let mut more = std::mem::take(&mut self.taken);
        if self.window == WINDOW && *budget >= LARGE_WINDOW - WINDOW {
            *budget -= LARGE_WINDOW - WINDOW;
            more += LARGE_WINDOW - WINDOW;
            self.window = LARGE_WINDOW;
        }
        self.granted += more;
        Some(more)
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

fn broken_pipe() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// Of one trunk, at a time.
const MAX_LANES: usize = 1 << 16;

/// What may be on its way to an end that reads nothing, of each lane.
pub(super) const WINDOW: u32 = 64 * 1024;

/// The same for lanes that carry much.
pub(super) const LARGE_WINDOW: u32 = 1024 * 1024;

/// What all windows of a trunk together may be larger by: 68 large ones.
const BUDGET: u32 = 64 * 1024 * 1024;

/// Bytes in one frame: others have their turn.
const MAX_DATA: u32 = 64 * 1024;

/// Frames that wait to be written, in bytes, beyond which no more data is taken.
const FULL: usize = 256 * 1024;

/// Frames without data beyond that, in bytes, that are no longer kept for whoever does not read them:
/// several for each lane that there can be.
const MAX_UNREAD: usize = 4 * 1024 * 1024;

/// Writers that are let go on at a time.
const TURNS: usize = 8;

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
