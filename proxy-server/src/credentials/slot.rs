use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::{Mutex as Turns, OwnedMutexGuard},
    time::{Duration, Instant},
};

use super::Issued;

/// What is kept for one session, and whose turn it is to ask STS for more.
#[derive(Default)]
pub(super) struct Slot {
    held: Mutex<Held>,
    turn: Arc<Turns<()>>,
}

#[derive(Default)]
struct Held {
    issued: Option<Arc<Issued>>,
    /// STS failed a moment ago; it is asked again from then on.
    again: Option<Instant>,
}

/// What a slot has for whoever asks.
pub(super) enum Look {
    /// These will do.
    Have(Arc<Issued>),
    /// STS failed a moment ago, and nothing usable is left.
    NotNow,
    /// Somebody must ask STS.
    Ask,
}

impl Slot {
    /// The one who may ask STS for this session. The others wait, and find what came of it.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    pub(super) fn look(&self, now: Instant) -> Look {
        let held = self.held();
        let usable = held.issued.as_ref().filter(|issued| issued.is_usable(now));
        let waits = held.again.is_some_and(|again| now < again);
        match usable {
            Some(issued) if issued.is_fresh(now) || waits => Look::Have(Arc::clone(issued)),
            _ if waits => Look::NotNow,
            _ => Look::Ask,
        }
    }

    /// New ones, committed and ready to be given.
    pub(super) fn keep(&self, issued: Arc<Issued>) {
        *self.held() = Held { issued: Some(issued), again: None };
    }

    /// STS is left alone for a moment. What is still usable is given meanwhile.
    pub(super) fn failed(&self, now: Instant) {
        self.held().again = Some(now + PAUSE);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between two tries for one session, however often its enclave asks.
const PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// What a slot says at this moment, in a word.
    fn said(slot: &Slot) -> &'static str {
        match slot.look(Instant::now()) {
            Look::Have(_) => "have",
            Look::NotNow => "not now",
            Look::Ask => "ask",
        }
    }

    fn issued(seconds: u64) -> Arc<Issued> {
        let expires = SystemTime::now() + Duration::from_secs(seconds);
        Arc::new(Issued::new("ASIA".into(), "secret".into(), "token".into(), expires))
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn sts_is_asked_again_when_two_fifths_of_their_life_are_over() {
        let slot = Slot::default();
        assert_eq!(said(&slot), "ask");
        slot.keep(issued(1000));
        assert_eq!(said(&slot), "have");
        pass(395).await;
        assert_eq!(said(&slot), "have");
        pass(10).await;
        assert_eq!(said(&slot), "ask");
    }

    #[tokio::test(start_paused = true)]
    async fn while_sts_fails_what_is_left_is_given_and_sts_left_alone() {
        let slot = Slot::default();
        slot.failed(Instant::now());
        assert_eq!(said(&slot), "not now");
        pass(5).await;
        assert_eq!(said(&slot), "ask");
        slot.keep(issued(1000));
        pass(800).await;
        slot.failed(Instant::now());
        assert_eq!(said(&slot), "have", "200 s are left of them");
        pass(6).await;
        assert_eq!(said(&slot), "ask");
        pass(150).await;
        slot.failed(Instant::now());
        assert_eq!(said(&slot), "not now", "less than a minute is left");
    }
}
