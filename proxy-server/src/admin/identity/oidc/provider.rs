use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    BadOidcConfig, OidcConfig, OidcError,
    claims::principal,
    fetch::Fetcher,
    jwt::UnverifiedJwt,
    key_cache::{KeyCache, RENEWED},
};
use crate::{admin::identity::Principal, store::UnixMs};

/// One OpenID provider. Shared by all connections.
pub struct Oidc {
    config: OidcConfig,
    keys: Arc<KeyCache>,
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
        Ok(Self { config, keys })
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
        let jwt = UnverifiedJwt::read(token).map_err(OidcError::Refused)?;
        let keys = self.keys.keys_for(jwt.kid(), moment).await.map_err(OidcError::Unavailable)?;
        let claims = jwt.verify(&keys).map_err(OidcError::Refused)?;
        principal(&claims, &self.config, now).map_err(OidcError::Refused)
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
