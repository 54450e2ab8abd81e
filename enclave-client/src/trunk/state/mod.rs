mod ends;
mod heard;
mod said;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    io::ErrorKind,
    task::{Context, Poll, Waker},
};

use bytes::BytesMut;

use self::{ends::Ends, heard::Incoming};
use super::frame::{Broken, Frame};

#[cfg(test)]
pub(super) use self::ends::WINDOW;

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
    Gone(ErrorKind),
    /// The other end said what it must not say.
    Broken(Broken),
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

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Of one trunk, at a time.
const MAX_LANES: usize = 1 << 16;

/// What all windows of a trunk together may be larger by: 68 large ones.
const BUDGET: u32 = 64 * 1024 * 1024;

/// Frames that wait to be written, in bytes, beyond which no more data is taken.
const FULL: usize = 256 * 1024;

/// Frames without data beyond that, in bytes, that are no longer kept for whoever does not read them:
/// several for each lane that there can be.
const MAX_UNREAD: usize = 4 * 1024 * 1024;

/// Writers that are let go on at a time.
const TURNS: usize = 8;
