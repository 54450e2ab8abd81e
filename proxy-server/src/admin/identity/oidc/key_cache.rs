use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    Issuer, KeysUnavailable,
    fetch::{DEADLINE, Fetcher},
    keys::{JwkSet, KeySet},
};

/// The provider's keys, as of lately.
///
/// A token with a key that is not known may be the first after the provider
/// changed its keys, or a stranger's: it makes the proxy ask again, but not
/// more often than [`QUIET`].
pub(super) struct KeyCache {
    issuer: Issuer,
    fetcher: Fetcher,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, Instant)>,
    /// When the provider was last asked, whatever came of it.
    asked: Option<Instant>,
    failure: Option<KeysUnavailable>,
    /// Closes when the question that is under way is answered.
    asking: Option<watch::Receiver<()>>,
}

/// RFC 8414 section 2 and OpenID Connect Discovery 1.0 section 3: what is needed of it.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl KeyCache {
    pub(super) fn new(issuer: Issuer, fetcher: Fetcher) -> Arc<Self> {
        Arc::new(Self { issuer, fetcher, state: Mutex::default() })
    }

    /// The keys, asked for again when `kid` is not among them and the last
    /// question was long enough ago.
    pub(super) async fn keys_for(
        self: &Arc<Self>,
        kid: &str,
        now: Instant,
    ) -> Result<Arc<KeySet>, KeysUnavailable> {
        let known = self.state().usable(now);
        match known {
            Some(keys) if keys.has(kid) => return Ok(keys),
            _ => self.ask(now, QUIET).await,
        }
        let state = self.state();
        let failure = || state.failure.clone().unwrap_or(KeysUnavailable::Deadline);
        state.usable(now).ok_or_else(failure)
    }

    /// Asks now, unless somebody does already.
    pub(super) async fn refresh(self: &Arc<Self>, now: Instant) -> Result<(), KeysUnavailable> {
        self.ask(now, Duration::ZERO).await;
        self.state().failure.clone().map_or(Ok(()), Err)
    }

    /// Asks, or waits for the answer to a question that is under way.
    ///
    /// The question runs in a task of its own: a client that goes away in the
    /// middle must not take the answer with it, or strangers could keep the
    /// keys from ever being renewed.
    async fn ask(self: &Arc<Self>, now: Instant, quiet: Duration) {
        let mut answered = {
            let mut state = self.state();
            match &state.asking {
                Some(answered) => answered.clone(),
                None if state.asked.is_some_and(|last| now.saturating_duration_since(last) < quiet) => return,
                None => {
                    let (done, answered) = watch::channel(());
                    state.asked = Some(now);
                    state.asking = Some(answered.clone());
                    let cache = Arc::clone(self);
                    tokio::spawn(async move {
                        let answer = timeout(DEADLINE, cache.fetch()).await;
                        cache.state().settle(answer.unwrap_or(Err(KeysUnavailable::Deadline)), now);
                        drop(done);
                    });
                    answered
                }
            }
        };
        // An error is the sender's end, which is what is waited for.
        let _ = answered.changed().await;
    }

    async fn fetch(&self) -> Result<KeySet, KeysUnavailable> {
        let discovery: Discovery = self.fetcher.json(&self.issuer.discovery()).await?;
        // Discovery 1.0 section 4.3: "The issuer value returned MUST be identical to the Issuer URL".
        if discovery.issuer != self.issuer.as_str() {
            return Err(KeysUnavailable::IssuerDiffers {
                expected: self.issuer.to_string(),
                found: discovery.issuer.chars().take(Issuer::MAX).collect(),
            });
        }
        let set: JwkSet = self.fetcher.json(&discovery.jwks_uri).await?;
        KeySet::read(set)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn usable(&self, now: Instant) -> Option<Arc<KeySet>> {
        let (keys, since) = self.keys.as_ref()?;
        (now.saturating_duration_since(*since) < KEPT).then(|| Arc::clone(keys))
    }

    fn settle(&mut self, answer: Result<KeySet, KeysUnavailable>, asked: Instant) {
        self.asking = None;
        match answer {
            Ok(keys) => {
                self.keys = Some((Arc::new(keys), asked));
                self.failure = None;
            }
            Err(failure) => {
                tracing::warn!(error = %failure, "the OpenID provider's keys were not renewed");
                self.failure = Some(failure);
            }
        }
    }
}

/// The least time between two questions that unknown keys cause.
pub(super) const QUIET: Duration = Duration::from_secs(30);

/// How often the keys are asked for anyway: a key that the provider withdrew
/// counts here no longer than this, while the provider answers.
pub(super) const RENEWED: Duration = Duration::from_secs(600);

/// How long keys count while the provider does not answer: so long it may be
/// away without locking anybody out, and so long a withdrawn key lives at worst.
pub(super) const KEPT: Duration = Duration::from_secs(3_600);
