use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    BadOidcConfig, IdToken, OidcConfig, OidcError, RedirectAnswer, SignInAttempt, SignInConfig,
    SignInRefused, claims,
    fetch::Fetcher,
    jwt::{self, UnverifiedJwt},
    key_cache::{KeyCache, RENEWED},
    sign_in::{Endpoints, Exchange, check_id_token},
};
use crate::{admin::identity::Principal, store::UnixMs};

/// One OpenID provider. Shared by all connections.
pub struct Oidc {
    config: OidcConfig,
    keys: Arc<KeyCache>,
    exchange: Exchange,
}

impl Oidc {
    /// Reads the file of CAs; asks the provider nothing yet, so that the proxy
    /// starts while the provider is away.
    ///
    /// # Errors
    /// [`BadOidcConfig`].
    pub fn new(config: OidcConfig) -> Result<Self, BadOidcConfig> {
        if config.audience.is_empty() {
            return Err(BadOidcConfig::NoAudience);
        }
        let fetcher = Fetcher::new(config.issuer.transport(), config.ca_file.as_deref())?;
        let keys = KeyCache::new(config.issuer.clone(), fetcher);
        Ok(Self { config, keys, exchange: Exchange::default() })
    }

    /// Who holds this JWT. It waits for the provider at most five seconds, and
    /// only when it has no keys or not the token's.
    ///
    /// # Errors
    /// [`OidcError`].
    pub async fn authenticate(&self, token: &str, now: UnixMs) -> Result<Principal, OidcError> {
        self.authenticate_at(token, now, Instant::now()).await
    }

    /// `now` is compared with the token's times, `moment` with the age of the keys.
    pub(super) async fn authenticate_at(
        &self,
        token: &str,
        now: UnixMs,
        moment: Instant,
    ) -> Result<Principal, OidcError> {
        let claims = self.signed(token, &jwt::BEARER, moment).await?;
        claims::check(&claims, &self.config, &self.config.audience, now).map_err(OidcError::Refused)?;
        claims::principal(&claims, &self.config).map_err(OidcError::Refused)
    }

    /// How people sign in with their browser, if they may.
    pub fn sign_in(&self) -> Option<&SignInConfig> {
        self.config.sign_in.as_ref()
    }

    /// Where a browser goes to sign in. It waits for the provider at most five
    /// seconds, and only when nothing is known of it.
    ///
    /// # Errors
    /// [`OidcError`].
    pub async fn sign_in_url(&self, attempt: &SignInAttempt) -> Result<String, OidcError> {
        let (config, endpoints) = self.client().await?;
        Ok(attempt.url(config, &endpoints))
    }

    /// The browser is back: asks the provider who it was. It waits for it at most ten seconds.
    ///
    /// # Errors
    /// [`OidcError`].
    pub async fn redeem(
        &self,
        attempt: SignInAttempt,
        answer: RedirectAnswer,
        now: UnixMs,
    ) -> Result<IdToken, OidcError> {
        let (config, endpoints) = self.client().await?;
        let asked = (&self.config.issuer, config);
        let token = self.exchange.redeem(self.keys.fetcher(), &endpoints, asked, (&attempt, answer)).await?;
        let claims = self.id_claims(&token, now).await?;
        IdToken::of_attempt(token, &claims, &attempt).map_err(OidcError::Refused)
    }

    /// Who holds this ID token, now.
    ///
    /// # Errors
    /// [`OidcError`].
    pub async fn holder(&self, token: &IdToken, now: UnixMs) -> Result<Principal, OidcError> {
        let claims = self.id_claims(token.as_str(), now).await?;
        claims::principal(&claims, &self.config).map_err(OidcError::Refused)
    }

    fn configured(&self) -> Result<&SignInConfig, OidcError> {
        self.sign_in().ok_or(OidcError::SignIn(SignInRefused::NotConfigured))
    }

    async fn client(&self) -> Result<(&SignInConfig, Endpoints), OidcError> {
        let config = self.configured()?;
        let endpoints = self.keys.endpoints(Instant::now()).await.map_err(OidcError::Unavailable)?;
        Ok((config, endpoints))
    }

    async fn id_claims(&self, token: &str, now: UnixMs) -> Result<Map<String, Value>, OidcError> {
        let client = &self.configured()?.client_id;
        let claims = self.signed(token, &jwt::ID_TOKEN, Instant::now()).await?;
        claims::check(&claims, &self.config, client, now)
            .and_then(|()| check_id_token(&claims, client, &self.config.audience))
            .map_err(OidcError::Refused)?;
        Ok(claims)
    }

    /// What the provider signed, whoever it is for.
    async fn signed(
        &self,
        token: &str,
        types: &[&str],
        moment: Instant,
    ) -> Result<Map<String, Value>, OidcError> {
        let jwt = UnverifiedJwt::read(token, types).map_err(OidcError::Refused)?;
        let known = self.keys.keys_for(jwt.kid(), moment).await.map_err(OidcError::Unavailable)?;
        jwt.verify(&known.keys).map_err(OidcError::Refused)
    }

    /// Keeps the keys fresh until `stop`. Without it they are asked for when a
    /// token needs them, and withdrawn keys count for up to an hour.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            failures = match self.keys.refresh(Instant::now()).await {
                Ok(()) => 0,
                Err(_) => failures + 1,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause(failures, jitter())) => {}
            }
        }
    }
}

/// Ten minutes after an answer; after failures 1 s, 2 s, 4 s … up to a minute.
/// `jitter` (0 to 255) takes away up to a quarter, so that replicas which
/// started together do not ask together.
fn pause(failures: u32, jitter: u8) -> Duration {
    let whole = match failures {
        0 => RENEWED,
        failures => Duration::from_secs(1 << (failures - 1).min(6)).min(LONGEST_BACKOFF),
    };
    whole - whole * u32::from(jitter) / (4 * 256)
}

fn jitter() -> u8 {
    let mut byte = [0];
    // Without randomness there is no jitter; nothing else rests on it.
    let _ = rand::fill(&mut byte);
    byte[0]
}

const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_back_off_to_a_bound_and_jitter_only_shortens() {
        let seconds: Vec<_> = (0..9).map(|failures| pause(failures, 0).as_secs()).collect();
        assert_eq!(seconds, [600, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(u32::MAX, 0), LONGEST_BACKOFF);
        assert_eq!(pause(0, 128), Duration::from_secs(525));
    }
}
