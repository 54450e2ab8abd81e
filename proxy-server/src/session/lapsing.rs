use std::{collections::BinaryHeap, time::Duration};

use tokio::time::Instant;

use super::{SessionView, Sessions};

/// Sessions whose lease is nearly over.
#[derive(Clone, Debug, Default)]
pub struct Lapsing {
    /// How many.
    pub count: u64,
    /// Those that lapse first, soonest first.
    pub first: Vec<SessionView>,
}

impl Lapsing {
    /// An enclave attests at half its lease, 10 % sooner or later, and the shortest lease
    /// is 30 s: whoever has less than this left has missed a renewal.
    pub const SOON: Duration = Duration::from_secs(10);
}

impl Sessions {
    /// Sessions with less than `within` of their lease left, the first `most` of them by
    /// name. As cheap as [`Self::census`]. Not a copy that nobody uses of a session that was last
    /// renewed elsewhere: it runs out here, however well the session does there.
    pub fn lapsing(&self, within: Duration, most: usize) -> Lapsing {
        let until = Instant::now() + within;
        let mut count = 0;
        // The latest of them is on top, to give way to a sooner one.
        let mut first = BinaryHeap::with_capacity(most + 1);
        self.registry().each(|session| {
            let state = session.state();
            let ends = state.lease_ends;
            if ends >= until || !state.is_noticed() {
                return;
            }
            drop(state);
            count += 1;
            first.push((ends, session.id()));
            if first.len() > most {
                let _ = first.pop();
            }
        });
        let first = first.into_sorted_vec();
        let views = first.iter().filter_map(|(_, id)| self.find(id)).map(|session| session.view());
        Lapsing { count, first: views.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::model::{admission, registry};

    #[tokio::test(start_paused = true)]
    async fn the_soonest_are_named_and_all_are_counted() {
        let sessions = registry(8);
        for (key, lease) in [(1, 60), (2, 33), (3, 31), (4, 32)] {
            sessions.admit(admission(key, 1, lease), Instant::now()).unwrap();
        }
        assert_eq!(sessions.lapsing(Lapsing::SOON, 2).count, 0);
        tokio::time::advance(Duration::from_millis(23_001)).await;
        let Lapsing { count, first } = sessions.lapsing(Lapsing::SOON, 2);
        assert_eq!(count, 3);
        let keys: Vec<_> = first.iter().map(|view| view.key.as_bytes()[0]).collect();
        assert_eq!(keys, [3, 4]);
    }

    /// Its enclave renews where it is connected; the copy here is told of nothing.
    #[tokio::test(start_paused = true)]
    async fn a_copy_that_nobody_uses_is_not_about_to_lapse() {
        let sessions = registry(8);
        let session = sessions.admit(admission(1, 1, 30), Instant::now()).unwrap().session;
        let ends = Instant::now() + Duration::from_secs(30);
        sessions.follow(&session.id(), admission(1, 2, 30), ends);
        tokio::time::advance(Duration::from_secs(25)).await;
        assert_eq!(sessions.lapsing(Lapsing::SOON, 2).count, 0);
        let _tunnel = session.register_tunnel().unwrap();
        assert_eq!(sessions.lapsing(Lapsing::SOON, 2).count, 1, "its tunnel would be cut");
    }
}
