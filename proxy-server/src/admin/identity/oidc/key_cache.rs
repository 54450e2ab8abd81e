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
    Issuer, ProviderUnavailable,
    fetch::{DEADLINE, Fetcher},
    keys::{JwkSet, KeySet},
    sign_in::{Endpoints, Metadata},
};

/// What the provider says of itself, above all its keys, as of lately.
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
    known: Option<(Arc<Known>, Instant)>,
    /// When the provider was last asked, whatever came of it.
    asked: Option<Instant>,
    failure: Option<ProviderUnavailable>,
    /// Closes when the question that is under way is answered.
    asking: Option<watch::Receiver<()>>,
}

/// What one look at the provider gave.
pub(super) struct Known {
    pub(super) keys: KeySet,
    /// Tokens are judged without them.
    pub(super) endpoints: Result<Endpoints, ProviderUnavailable>,
}

/// RFC 8414 section 2 and OpenID Connect Discovery 1.0 section 3: what is needed of it.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
    #[serde(flatten)]
    sign_in: Metadata,
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
    ) -> Result<Arc<Known>, ProviderUnavailable> {
        self.known(now, |known| known.keys.has(kid)).await
    }

    /// Where people sign in, asked for when nothing is known.
    pub(super) async fn endpoints(self: &Arc<Self>, now: Instant) -> Result<Endpoints, ProviderUnavailable> {
        self.known(now, |_| true).await?.endpoints.clone()
    }

    /// Asks again, if it was not just now, when what is known will not do.
    async fn known(
        self: &Arc<Self>,
        now: Instant,
        will_do: impl Fn(&Known) -> bool,
    ) -> Result<Arc<Known>, ProviderUnavailable> {
        let known = self.state().usable(now);
        match known {
            Some(known) if will_do(&known) => return Ok(known),
            _ => self.ask(now, QUIET).await,
        }
        let state = self.state();
        let failure = || state.failure.clone().unwrap_or(ProviderUnavailable::Deadline);
        state.usable(now).ok_or_else(failure)
    }

    /// How the provider is asked.
    pub(super) fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    /// Asks now, unless somebody does already.
    pub(super) async fn refresh(self: &Arc<Self>, now: Instant) -> Result<(), ProviderUnavailable> {
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
                        cache.state().settle(answer.unwrap_or(Err(ProviderUnavailable::Deadline)), now);
                        drop(done);
                    });
                    answered
                }
            }
        };
        // An error is the sender's end, which is what is waited for.
        let _ = answered.changed().await;
    }

    async fn fetch(&self) -> Result<Known, ProviderUnavailable> {
        let discovery: Discovery = self.fetcher.json(&self.issuer.discovery()).await?;
        // Discovery 1.0 section 4.3: "The issuer value returned MUST be identical to the Issuer URL".
        if discovery.issuer != self.issuer.as_str() {
            return Err(ProviderUnavailable::IssuerDiffers {
                expected: self.issuer.to_string(),
                found: discovery.issuer.chars().take(Issuer::MAX).collect(),
            });
        }
        let set: JwkSet = self.fetcher.json(&discovery.jwks_uri).await?;
        let endpoints = Endpoints::read(discovery.sign_in, self.issuer.transport());
        Ok(Known { keys: KeySet::read(set)?, endpoints })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn usable(&self, now: Instant) -> Option<Arc<Known>> {
        let (known, since) = self.known.as_ref()?;
        (now.saturating_duration_since(*since) < KEPT).then(|| Arc::clone(known))
    }

    fn settle(&mut self, answer: Result<Known, ProviderUnavailable>, asked: Instant) {
        self.asking = None;
        match answer {
            Ok(known) => {
                self.known = Some((Arc::new(known), asked));
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
