use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of content that passed, counted by both directions of one exchange.
#[derive(Debug, Default)]
pub(super) struct Moved {
    up: AtomicU64,
    down: AtomicU64,
}

impl Moved {
    /// To the origin.
    pub(super) fn up(&self, bytes: usize) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// To the caller.
    pub(super) fn down(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Up and down.
    pub(super) fn read(&self) -> (u64, u64) {
        (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed))
    }
}
