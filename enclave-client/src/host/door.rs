use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::transport::{Listener, Setbacks, Stream};

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
        let mut setbacks = Setbacks::default();
        while let Some(accepted) = self.stop.run_until_cancelled(self.listener.accept()).await {
            match (accepted, self.room.clone().try_acquire_owned()) {
                (Ok(stream), Ok(place)) => serve(stream, place, &self.tasks),
                (Ok(stream), Err(_)) => turn_away(stream, &self.tasks),
                (Err(why), _) => {
                    self.stop.run_until_cancelled(setbacks.wait(&self.name, &why)).await;
                    continue;
                }
            }
            setbacks.over();
        }
    }
}
