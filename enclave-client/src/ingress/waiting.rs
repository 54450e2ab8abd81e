use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// Connections that have not yet shown what they want, the oldest first.
///
/// A fixed limit would let whoever fills it shut everybody else out until the
/// deadline. Here a full room lets the newcomer in and pushes the longest
/// waiting out: an honest handshake needs two round trips, so it is through
/// long before a flood has turned the whole room over.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    size: usize,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, CancellationToken>,
}

impl WaitingRoom {
    /// A room of `size` seats, at least one.
    pub(crate) fn new(size: usize) -> Self {
        Self { size: size.max(1), seats: Mutex::default() }
    }

    /// A seat, at once. Dropping it leaves the room.
    pub(crate) fn enter(self: &Arc<Self>) -> Seat {
        let pushed_out = CancellationToken::new();
        let mut seats = self.seats();
        if seats.taken.len() >= self.size
            && let Some((_, oldest)) = seats.taken.pop_first()
        {
            oldest.cancel();
        }
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, pushed_out.clone());
        Seat { room: self.clone(), number, pushed_out }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        // Each change is whole before anything can panic.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the room.
#[derive(Debug)]
pub(crate) struct Seat {
    room: Arc<WaitingRoom>,
    number: u64,
    pushed_out: CancellationToken,
}

impl Seat {
    /// Runs `work` unless the seat is needed for a newcomer first: then `None`.
    pub(crate) async fn keep_during<F: Future>(&self, work: F) -> Option<F::Output> {
        self.pushed_out.run_until_cancelled(work).await
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.seats().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_pushes_the_oldest_out() {
        let room = Arc::new(WaitingRoom::new(2));
        let (first, second) = (room.enter(), room.enter());
        assert!(!first.pushed_out.is_cancelled());
        let third = room.enter();
        let out = |seat: &Seat| seat.pushed_out.is_cancelled();
        assert_eq!((out(&first), out(&second), out(&third)), (true, false, false));
        drop(second);
        let fourth = room.enter();
        assert_eq!((out(&third), out(&fourth)), (false, false));
        // Leaving after having been pushed out takes nobody's seat.
        drop(first);
        assert_eq!(room.seats().taken.len(), 2);
    }
}
