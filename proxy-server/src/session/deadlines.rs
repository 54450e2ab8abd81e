use std::{cmp::Reverse, collections::BinaryHeap};

use countersign_protocol::SessionId;
use tokio::time::Instant;

/// When to look at which session next.
///
/// A renewal does not touch the heap: the session keeps the entry it has, and
/// when that comes up and the lease meanwhile ends later, a new one is pushed.
/// So a session has one entry however often it renews, and a renewal costs
/// nothing here unless it makes the lease end *sooner*.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<(Instant, SessionId)>>);

impl Deadlines {
    /// Looks at `session` again at `at`.
    pub(super) fn push(&mut self, at: Instant, session: SessionId) {
        self.0.push(Reverse((at, session)));
    }

    /// The soonest of all.
    pub(super) fn soonest(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the soonest entry if it is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, SessionId)> {
        if self.soonest()? > now {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| entry)
    }

    /// Drops entries of sessions that are no more, once they outnumber the
    /// `live` ones: ends by hand must not let the heap grow without bound.
    pub(super) fn compact(&mut self, live: usize, is_current: impl Fn(Instant, &SessionId) -> bool) {
        if self.0.len() > 2 * live + SLACK {
            self.0.retain(|Reverse((at, id))| is_current(*at, id));
            self.0.shrink_to_fit();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Below this many entries a compaction is not worth its time.
pub(super) const SLACK: usize = 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn entries_come_out_in_order_and_not_before_their_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let id = |byte| SessionId::from_bytes([byte; 16]);
        let mut deadlines = Deadlines::default();
        deadlines.push(at(30), id(3));
        deadlines.push(at(10), id(1));
        assert_eq!(deadlines.soonest(), Some(at(10)));
        assert_eq!(deadlines.pop_due(at(9)), None);
        assert_eq!(deadlines.pop_due(at(10)), Some((at(10), id(1))));
        assert_eq!(deadlines.pop_due(at(29)), None);
        assert_eq!(deadlines.pop_due(at(31)), Some((at(30), id(3))));
        assert_eq!(deadlines.soonest(), None);
    }
}
