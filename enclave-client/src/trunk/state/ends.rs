use std::task::Waker;

use bytes::BytesMut;

/// One lane, as this end has it.
#[derive(Debug)]
pub(super) struct Ends {
    /// What came and was not read yet: never more than was granted.
    pub(super) inbox: BytesMut,
    pub(super) heard: Heard,
    /// The other end is there no more.
    pub(super) gone: bool,
    pub(super) reader: Option<Waker>,
    /// What the other end may still send.
    pub(super) granted: u32,
    /// What was read and not granted again yet.
    pub(super) taken: u32,
    pub(super) window: u32,
    /// What may still be sent.
    pub(super) credit: u32,
    /// Whether the other end was told that everything was said.
    pub(super) ended: bool,
    pub(super) writer: Option<Waker>,
    /// Whether it stands in [`State::waiting`].
    pub(super) waits: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// More may come.
    Open,
    /// Everything was said.
    End,
    /// It broke off.
    Reset,
}

impl Ends {
    pub(super) fn new() -> Self {
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
    pub(super) fn grant(&mut self, read: usize, budget: &mut u32) -> Option<u32> {
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

/// What may be on its way to an end that reads nothing, of each lane.
pub(in crate::trunk) const WINDOW: u32 = 64 * 1024;

/// The same for lanes that carry much.
pub(in crate::trunk) const LARGE_WINDOW: u32 = 1024 * 1024;
