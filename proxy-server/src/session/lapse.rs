use std::{
    future::{Future, ready},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use countersign_protocol::SessionId;
use tokio::{
    select,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{EndReason, Ended, Session, Sessions};

/// Asked once more right before sessions lapse whose end is noticed, by a tunnel or
/// by the audit: another replica may have renewed them a moment ago. What it finds it
/// tells with [`Sessions::follow`].
pub trait LastLook: Send + Sync {
    /// Looks these up. Whatever comes of it, what is not renewed afterwards ends.
    fn look<'a>(&'a self, due: &'a [SessionId]) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// Where nobody else renews sessions of this store.
#[derive(Clone, Copy, Debug)]
pub struct NobodyElse;

impl LastLook for NobodyElse {
    fn look<'a>(&'a self, _: &'a [SessionId]) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(ready(()))
    }
}

impl Sessions {
    /// Ends what lapsed by `now`.
    pub fn lapse(&self, now: Instant) -> Ended {
        let due = self.take_due(now);
        self.settle(due)
    }

    /// Ends sessions as they lapse, until `shutdown`. It sleeps to the soonest
    /// deadline: from lapse to cut it is the timer's millisecond, the wake-up, and at
    /// the most two last looks: the one under way, and the session's own.
    pub async fn lapse_loop(self, last_look: Arc<dyn LastLook>, shutdown: CancellationToken) {
        loop {
            let soonest = self.book().deadlines.soonest();
            let until = soonest.unwrap_or_else(|| Instant::now() + NOTHING_TO_DO);
            select! {
                () = shutdown.cancelled() => return,
                () = self.registry().sooner.notified() => continue,
                () = sleep_until(until) => {}
            }
            let due = self.take_due(Instant::now());
            let noticed: Vec<_> = due
                .iter()
                .filter(|due| due.session.state().is_noticed())
                .map(|due| due.session.id())
                .collect();
            if !noticed.is_empty() {
                // What is not known by then lapses: a lease is a promise of an end.
                let _ = timeout(LAST_LOOK, last_look.look(&noticed)).await;
            }
            let ended = self.settle(due);
            if ended.sessions > 0 {
                tracing::info!(
                    code = EndReason::LeaseLapsed.as_str(),
                    sessions = ended.sessions,
                    tunnels = ended.tunnels,
                    "sessions lapsed"
                );
            }
        }
    }

    /// Takes the deadlines that came by `now`; gives those sessions whose lease is
    /// over, with the moment it was. They are in no deadline until [`Self::settle`].
    fn take_due(&self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        let mut book = self.book();
        while let Some((at, id)) = book.deadlines.pop_due(now) {
            let Some(session) = self.find(&id) else { continue };
            let mut state = session.state();
            if state.scheduled != at {
                continue;
            }
            if state.lease_ends > now {
                state.scheduled = state.lease_ends;
                book.deadlines.push(state.lease_ends, id);
                continue;
            }
            let lapsed = state.lease_ends;
            drop(state);
            due.push(Due { session, lapsed });
        }
        due
    }

    /// Ends those that were not renewed since they were taken, and gives the others a
    /// deadline again.
    fn settle(&self, due: Vec<Due>) -> Ended {
        if due.is_empty() {
            return Ended::default();
        }
        let cut = self.begin_cut();
        let mut book = self.book();
        let mut over = Vec::new();
        for Due { session, lapsed } in due {
            let mut state = session.state();
            if state.lease_ends > lapsed {
                // Renewing scheduled it only if that was sooner, which it is not.
                state.scheduled = state.lease_ends;
                let ends = state.lease_ends;
                drop(state);
                self.schedule(&mut book, ends, session.id());
                continue;
            }
            drop(state);
            if self.remove(&mut book, &session) {
                over.push(session);
            }
        }
        drop(book);
        self.finish(over, EndReason::LeaseLapsed, &cut)
    }
}

/// A session whose lease is over.
struct Due {
    session: Arc<Session>,
    /// When it was: a later end means that it was renewed.
    lapsed: Instant,
}

/// How long a last look may take. Twice that and the wake-ups stay well below the
/// 250 ms between a lapse and its cut.
const LAST_LOOK: Duration = Duration::from_millis(100);

/// Without any session the loop waits to be told.
const NOTHING_TO_DO: Duration = Duration::from_secs(3600);
