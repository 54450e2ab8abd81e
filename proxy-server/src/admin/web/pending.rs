use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use subtle::ConstantTimeEq;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::admin::{
    identity::{ClientNetwork, NoRandomness, SignInAttempt},
    secret::{known_by, secret},
};

/// Who was sent to the OpenID provider and is not back. In memory only, and at
/// most [`MOST`], so that strangers who only ever begin take nothing from
/// anybody but themselves.
#[derive(Default)]
pub(super) struct Pending(Mutex<HashMap<[u8; 32], Waiting>>);

struct Waiting {
    attempt: SignInAttempt,
    /// The hash of the cookie of the browser that began.
    browser: [u8; 32],
    network: ClientNetwork,
    since: Instant,
}

/// Why an answer of the provider belongs to no attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotPending {
    /// Nobody began it here, or it is too old, or it was answered.
    Unknown,
    /// Another browser began it: somebody made this one bring another's answer.
    OtherBrowser,
}

impl Pending {
    /// Keeps an attempt, and gives the value of the cookie that binds it to this
    /// browser. Of one network, and of all, the oldest gives way.
    pub(super) fn begin(
        &self,
        attempt: SignInAttempt,
        network: ClientNetwork,
    ) -> Result<Zeroizing<String>, NoRandomness> {
        let cookie = secret()?;
        let now = Instant::now();
        let mut pending = self.held();
        pending.retain(|_, waiting| waiting.lives(now));
        if pending.values().filter(|waiting| waiting.network == network).count() >= MOST_OF_A_NETWORK {
            drop_oldest(&mut pending, |waiting| waiting.network == network);
        }
        if pending.len() >= MOST {
            drop_oldest(&mut pending, |_| true);
        }
        let waiting = Waiting { browser: known_by(&cookie), network, since: now, attempt };
        pending.insert(known_by(waiting.attempt.state()), waiting);
        Ok(cookie)
    }

    /// The attempt of this state, once: whatever comes of it, it is used up.
    pub(super) fn take(&self, state: &str, cookie: Option<&str>) -> Result<SignInAttempt, NotPending> {
        let waiting = self.held().remove(&known_by(state)).filter(|waiting| waiting.lives(Instant::now()));
        let waiting = waiting.ok_or(NotPending::Unknown)?;
        let browser = known_by(cookie.unwrap_or_default());
        match bool::from(browser.ct_eq(&waiting.browser)) {
            true => Ok(waiting.attempt),
            false => Err(NotPending::OtherBrowser),
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<[u8; 32], Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn lives(&self, now: Instant) -> bool {
        now.duration_since(self.since) < LONGEST
    }
}

fn drop_oldest(pending: &mut HashMap<[u8; 32], Waiting>, of: impl Fn(&Waiting) -> bool) {
    let oldest = pending.iter().filter(|(_, waiting)| of(waiting)).min_by_key(|(_, waiting)| waiting.since);
    if let Some(key) = oldest.map(|(key, _)| *key) {
        pending.remove(&key);
    }
}

/// A password, a second factor, and somebody at the door.
pub(super) const LONGEST: Duration = Duration::from_secs(10 * 60);

/// At once, of everybody.
const MOST: usize = 1024;

/// At once, from one address: an office behind one has so many people signing in within ten minutes.
const MOST_OF_A_NETWORK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> ClientNetwork {
        ClientNetwork::of([192, 0, 2, last].into())
    }

    fn begin(pending: &Pending, network: ClientNetwork) -> (String, Zeroizing<String>) {
        let attempt = SignInAttempt::new().unwrap();
        let state = attempt.state().to_owned();
        (state, pending.begin(attempt, network).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_is_answered_once_by_its_browser_in_its_time() {
        let pending = Pending::default();
        let (state, cookie) = begin(&pending, network(1));
        assert_eq!(pending.take(&state, Some(&cookie)).unwrap().state(), state);
        assert_eq!(pending.take(&state, Some(&cookie)).unwrap_err(), NotPending::Unknown, "replayed");

        let (state, cookie) = begin(&pending, network(1));
        let (_, other) = begin(&pending, network(1));
        assert_eq!(pending.take(&state, Some(&other)).unwrap_err(), NotPending::OtherBrowser);
        assert_eq!(pending.take(&state, Some(&cookie)).unwrap_err(), NotPending::Unknown, "used up");

        let (state, _) = begin(&pending, network(1));
        assert_eq!(pending.take(&state, None).unwrap_err(), NotPending::OtherBrowser);

        let (state, cookie) = begin(&pending, network(1));
        tokio::time::advance(LONGEST).await;
        assert_eq!(pending.take(&state, Some(&cookie)).unwrap_err(), NotPending::Unknown, "too old");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_only_begins_takes_nothing_from_others() {
        let pending = Pending::default();
        let (state, cookie) = begin(&pending, network(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..=MOST {
            begin(&pending, network(2));
        }
        assert_eq!(pending.held().len(), MOST_OF_A_NETWORK + 1);
        assert_eq!(pending.take(&state, Some(&cookie)).unwrap().state(), state);
        // Whoever has many networks: the memory has its bound all the same.
        for last in 0..=200 {
            (0..10).for_each(|_| drop(begin(&pending, network(last))));
        }
        assert_eq!(pending.held().len(), MOST);
    }
}
