use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use countersign_protocol::KeyThumbprint;
use tokio::sync::OwnedMutexGuard;

/// One at a time for each key; those who wait for one key stand in nobody else's way.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<KeyThumbprint, Weak<Turn>>>);

type Turn = tokio::sync::Mutex<()>;

impl Turns {
    /// Waits until nobody else has this key's turn; it is over when what is given back is dropped.
    pub(super) async fn wait(&self, key: KeyThumbprint) -> OwnedMutexGuard<()> {
        self.of(key).lock_owned().await
    }

    /// What is kept is what somebody has or waits for.
    fn of(&self, key: KeyThumbprint) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        turns.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let turn = Arc::new(Turn::default());
            turns.insert(key, Arc::downgrade(&turn));
            turn
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_has_one_turn_and_nothing_is_kept_of_it() {
        let turns = Turns::default();
        let [one, other] = [b"one", &b"two"[..]].map(KeyThumbprint::of_spki);
        let first = turns.wait(one).await;
        let second = turns.wait(other).await;
        let waiting = turns.wait(one);
        tokio::pin!(waiting);
        assert!(futures_now(&mut waiting).await.is_none());
        drop((first, second));
        drop(futures_now(&mut waiting).await.unwrap());
        drop(turns.wait(other).await);
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }

    async fn futures_now<F: Future + Unpin>(future: F) -> Option<F::Output> {
        tokio::time::timeout(std::time::Duration::ZERO, future).await.ok()
    }
}
