use std::{fmt, io, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::{
    random::Fraction,
    transport::{Listener, Stream},
};

/// Accepts connections until told to stop, and never waits for one of them.
pub(super) struct Door {
    /// For the log.
    pub(super) name: String,
    pub(super) listener: Listener,
    /// How many connections at a time, of all doors that share it.
    pub(super) room: Arc<Semaphore>,
    /// Every connection's task.
    pub(super) tasks: TaskTracker,
    /// No further connection after this.
    pub(super) stop: CancellationToken,
}

/// A connection's place; given back when it is dropped.
pub(super) type Place = OwnedSemaphorePermit;

impl Door {
    /// Gives each connection with its place to `serve`, and what there is no
    /// place for to `turn_away`; both start tasks and return.
    pub(super) async fn open(
        mut self,
        serve: impl Fn(Stream, Place, &TaskTracker),
        turn_away: impl Fn(Stream, &TaskTracker),
    ) {
        let mut failures = 0;
        while let Some(accepted) = self.stop.run_until_cancelled(self.listener.accept()).await {
            match (accepted, self.room.clone().try_acquire_owned()) {
                (Ok(stream), Ok(place)) => serve(stream, place, &self.tasks),
                (Ok(stream), Err(_)) => turn_away(stream, &self.tasks),
                (Err(why), _) => {
                    self.pause(failures, &why).await;
                    failures += 1;
                    continue;
                }
            }
            failures = 0;
        }
    }

    /// Out of descriptors, most likely: they come back when connections end.
    async fn pause(&self, failures: u32, why: &io::Error) {
        if failures == 0 {
            warn!(code = "accept-failed", "{self}: accept failed: {why}");
        }
        let _ = self.stop.run_until_cancelled(sleep(pause(failures, Fraction::random()))).await;
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// 10 ms, doubled by each failure up to 1.28 s; half of it at random.
pub(crate) fn pause(failures: u32, jitter: Fraction) -> Duration {
    let most = SHORTEST_PAUSE * (1 << failures.min(LONGEST_PAUSE));
    most.mul_f64(0.5 + 0.5 * jitter.get())
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// As a power of two.
const LONGEST_PAUSE: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let ms = |failures, jitter| pause(failures, jitter).as_millis();
        assert_eq!((ms(0, Fraction::ZERO), ms(0, Fraction::ONE)), (5, 10));
        assert_eq!((ms(3, Fraction::ONE), ms(7, Fraction::ONE)), (80, 1280));
        assert_eq!((ms(u32::MAX, Fraction::ZERO), ms(u32::MAX, Fraction::ONE)), (640, 1280));
    }
}
