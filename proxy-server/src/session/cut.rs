use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// What one end has yet to let go of: the tunnels of its sessions, and the
/// connections that may still carry bytes of theirs.
///
/// Ending a session tells its tunnels; this tells when the last of them is gone,
/// and no byte of theirs can move any more.
#[derive(Debug)]
pub(super) struct Cut {
    /// Watchers of ended sessions, and one for as long as sessions are being ended.
    outstanding: AtomicUsize,
    over: Notify,
}

impl Cut {
    /// One whose sessions are about to be ended: it is not over before [`Self::told`].
    pub(super) fn begin() -> Self {
        Self { outstanding: AtomicUsize::new(1), over: Notify::new() }
    }

    /// A session ended that so many watch.
    pub(super) fn add(&self, watchers: usize) {
        self.outstanding.fetch_add(watchers, Ordering::AcqRel);
    }

    /// One of them is gone.
    pub(super) fn let_go(&self) {
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.over.notify_waiters();
        }
    }

    /// Every session of this end is ended, and its watchers were told.
    pub(super) fn told(&self) {
        self.let_go();
    }

    /// How many are not gone.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }

    /// Waits until all are gone.
    pub(super) async fn over(&self) {
        loop {
            let mut over = pin!(self.over.notified());
            // Registered before the look: what happens in between wakes it.
            over.as_mut().enable();
            if self.outstanding() == 0 {
                return;
            }
            over.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_the_last_one_is_gone_and_all_were_told() {
        let cut = Arc::new(Cut::begin());
        cut.add(2);
        let waiting = tokio::spawn({
            let cut = Arc::clone(&cut);
            async move { cut.over().await }
        });
        for gone in [Cut::let_go, Cut::let_go, Cut::told] {
            yield_now().await;
            assert!(!waiting.is_finished(), "{} outstanding", cut.outstanding());
            gone(&cut);
        }
        waiting.await.unwrap();
        cut.over().await;
    }
}
