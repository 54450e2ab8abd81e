use std::{sync::Arc, time::Duration};

use countersign_protocol::ProblemCode;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::refusal::Refused;

/// Bounds the verifications for strangers, so that a flood of genuine but
/// foreign certificates cannot starve enclaves that renew.
///
/// A stranger's document can cost five P-384 verifications (700 µs), a renewal
/// costs one (145 µs). Strangers take turns on half of the workers; whoever
/// renews on its connection passes by. The verification itself runs in place:
/// moving it to another thread costs a tenth of a renewal and bounds nothing.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Gate {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new((workers / 2).max(1))),
            waiting: Arc::new(Semaphore::new(QUEUE)),
        }
    }

    /// How many wait for a turn.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        QUEUE - self.waiting.available_permits()
    }

    /// Waits for a turn; holding it is the turn.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Refused> {
        let full = || {
            Refused::new(ProblemCode::Overloaded, "too many enclaves attest for the first time: try again")
        };
        let _place = self.waiting.try_acquire().map_err(|_| full())?;
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        turn.map_err(|_| full())?.map_err(|_| full())
    }
}

/// At 700 µs each this queue is half a second long on one core.
const QUEUE: usize = 1024;

const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_and_a_long_wait_are_refused() {
        let gate = Gate::new(1);
        let held = gate.turn().await.unwrap();
        let waiters: Vec<_> = (0..QUEUE)
            .map(|_| {
                let gate = gate.clone();
                tokio::spawn(async move { gate.turn().await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(gate.turn().await.unwrap_err().code(), "overloaded", "the queue is full at once");
        tokio::time::advance(PATIENCE).await;
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap().unwrap_err().code(), "overloaded");
        }
        drop(held);
        assert!(gate.turn().await.is_ok());
    }
}
