use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// The handshakes under way, at most so many. One more throws out the oldest:
/// whoever holds many connections open and says nothing loses his own before
/// he keeps anybody else out.
pub(crate) struct Handshakes {
    max: usize,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    next: u64,
    waiting: BTreeMap<u64, Arc<Notify>>,
}

/// One place among the handshakes.
pub(crate) struct Place {
    handshakes: Arc<Handshakes>,
    number: u64,
    evicted: Arc<Notify>,
}

impl Handshakes {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), line: Mutex::default() })
    }

    /// Takes a place, at the oldest one's expense if there is none.
    pub(crate) fn enter(self: &Arc<Self>) -> Place {
        let mut line = self.line();
        if line.waiting.len() >= self.max
            && let Some((_, oldest)) = line.waiting.pop_first()
        {
            oldest.notify_one();
        }
        let number = line.next;
        line.next += 1;
        let evicted = Arc::new(Notify::new());
        line.waiting.insert(number, Arc::clone(&evicted));
        drop(line);
        Place { handshakes: Arc::clone(self), number, evicted }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until this place is given to another.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handshakes.line().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio_test_poll::now;

    use super::*;

    #[test]
    fn one_too_many_throws_out_the_oldest_and_only_it() {
        let handshakes = Handshakes::new(2);
        let first = handshakes.enter();
        let second = handshakes.enter();
        assert!(!now(first.evicted()));
        let third = handshakes.enter();
        assert!(now(first.evicted()));
        assert!(!now(second.evicted()));
        drop(first);
        drop(second);
        let fourth = handshakes.enter();
        assert!(!now(third.evicted()), "there was room");
        assert!(!now(fourth.evicted()));
        assert_eq!(handshakes.line().waiting.len(), 2);
    }

    /// Whether a future is ready at its first poll.
    mod tokio_test_poll {
        use std::{
            future::Future,
            pin::pin,
            task::{Context, Waker},
        };

        pub(super) fn now(future: impl Future<Output = ()>) -> bool {
            pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
        }
    }
}
