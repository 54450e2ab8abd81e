use std::{cell::RefCell, ops::Range};

use super::records::{FRAME, LEAD, MAX_SLICES};

/// What one thread's tunnels share: bytes stand here only while a tunnel is
/// being polled, so that an idle tunnel holds no buffer at all.
pub(crate) struct Scratch {
    /// [`SCRATCH`] bytes.
    pub(crate) area: Vec<u8>,
    /// Where plaintext stands in `area`; empty between uses.
    pub(crate) slices: Vec<Range<usize>>,
}

/// Frames of one large read.
pub(crate) const FRAMES: usize = 16;

/// Room for a KeyUpdate, [`FRAMES`] frames, and a record left over from the read before.
pub(crate) const SCRATCH: usize = LEAD + (FRAMES + 1) * FRAME;

/// Lends this thread's scratch. A loan inside a loan gets one of its own.
pub(crate) fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local! {
        static SHARED: RefCell<Scratch> = RefCell::new(Scratch::new());
    }
    SHARED.with(|shared| match shared.try_borrow_mut() {
        Ok(mut scratch) => work(&mut scratch),
        Err(_) => work(&mut Scratch::new()),
    })
}

impl Scratch {
    fn new() -> Self {
        Self { area: vec![0; SCRATCH], slices: Vec::with_capacity(MAX_SLICES) }
    }
}
