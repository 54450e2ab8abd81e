use std::{
    error::Error,
    future::Future,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Credentials, Publisher};
use crate::{
    attest::{Backoff, chain},
    random::Fraction,
};

/// Who issues credentials that last a while: the metadata service, a proxy that asks STS.
pub trait Issuer: Send + Sync + 'static {
    /// Why it issued none.
    type Error: Error + Send;

    /// New credentials, or the same ones while they are the newest. Within a deadline of its own.
    fn issue(&self) -> impl Future<Output = Result<Credentials, Self::Error>> + Send;
}

/// Publishes an issuer's credentials and renews them ahead, until `stop`: at half of what is left of them.
/// What has lapsed is taken back, so that a call says "no credentials" and not what AWS says of old ones.
pub async fn keep_issued(issuer: impl Issuer, publish: Publisher, stop: CancellationToken) {
    stop.run_until_cancelled(keep(&issuer, &publish)).await;
}

async fn keep(issuer: &impl Issuer, publish: &Publisher) {
    let mut backoff = Backoff::default();
    let mut lapses: Option<Instant> = None;
    loop {
        let issued = match lapses {
            // Even while the issuer is slow, nothing that has lapsed stays published.
            Some(at) => match timeout_at(at, issuer.issue()).await {
                Ok(issued) => issued,
                Err(_) => {
                    take_back(publish, &mut lapses);
                    continue;
                }
            },
            None => issuer.issue().await,
        };
        match issued {
            Ok(credentials) => {
                backoff.reset();
                let left =
                    credentials.expires().map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
                info!(access_key_id = credentials.access_key_id(), "AWS credentials issued");
                publish.publish(credentials);
                let Some(left) = left else { return };
                lapses = Some(Instant::now() + left);
                let jitter = 0.9 + 0.2 * Fraction::random().get();
                let wait = left.div_f64(2.0).mul_f64(jitter).max(SPACING);
                wait_and_watch(wait, publish, &mut lapses).await;
            }
            Err(why) => {
                let wait = backoff.fail(Fraction::random());
                warn!(code = "no-credentials", "no AWS credentials issued: {}", chain(&why));
                wait_and_watch(wait, publish, &mut lapses).await;
            }
        }
    }
}

/// Waits; what lapses meanwhile is taken back at once.
async fn wait_and_watch(wait: Duration, publish: &Publisher, lapses: &mut Option<Instant>) {
    let again = Instant::now() + wait;
    if let Some(at) = lapses.filter(|at| *at <= again) {
        sleep_until(at).await;
        take_back(publish, lapses);
    }
    sleep_until(again).await;
}

fn take_back(publish: &Publisher, lapses: &mut Option<Instant>) {
    warn!(code = "credentials-lapsed", "the AWS credentials lapsed before new ones came");
    publish.take_back();
    *lapses = None;
}

/// The least time between two renewals that succeed.
const SPACING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::{
        fmt,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use super::*;
    use crate::kms::CredentialSource;

    /// Issues for an hour, as long as it has some to give.
    struct Finite {
        issued: Arc<AtomicUsize>,
        stock: usize,
    }

    #[derive(Debug)]
    struct Empty;

    impl fmt::Display for Empty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("empty")
        }
    }

    impl Error for Empty {}

    impl Issuer for Finite {
        type Error = Empty;

        async fn issue(&self) -> Result<Credentials, Empty> {
            let number = self.issued.fetch_add(1, Ordering::SeqCst);
            let credentials = Credentials::new(number.to_string(), "secret".into(), None);
            let hour = SystemTime::now() + Duration::from_secs(3600);
            if number < self.stock { Ok(credentials.expiring(hour)) } else { Err(Empty) }
        }
    }

    /// Issues what has lapsed already.
    struct Late;

    impl Issuer for Late {
        type Error = Empty;

        async fn issue(&self) -> Result<Credentials, Empty> {
            let past = SystemTime::now() - Duration::from_secs(1);
            Ok(Credentials::new("late".to_owned(), "secret".into(), None).expiring(past))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_came_too_late_do_not_stay() {
        let (publish, mut source) = CredentialSource::published();
        let keeping = tokio::spawn(keep_issued(Late, publish, CancellationToken::new()));
        let began = Instant::now();
        // Published and taken back at once: whoever looks finds none.
        assert_eq!(source.changed().await.unwrap().map(|newest| newest.access_key_id().to_owned()), None);
        assert!(began.elapsed() < SPACING, "taken back after {:?}", began.elapsed());
        keeping.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_are_renewed_at_half_their_life_and_taken_back_when_they_lapse() {
        let issued = Arc::new(AtomicUsize::new(0));
        let (publish, mut source) = CredentialSource::published();
        let stop = CancellationToken::new();
        let issuer = Finite { issued: issued.clone(), stock: 2 };
        let keeping = tokio::spawn(keep_issued(issuer, publish, stop.clone()));
        let began = Instant::now();
        let mut changed =
            async || source.changed().await.unwrap().map(|newest| newest.access_key_id().to_owned());

        assert_eq!((changed().await, began.elapsed().as_secs()), (Some("0".into()), 0));
        assert_eq!(changed().await, Some("1".into()));
        let at = began.elapsed().as_secs();
        assert!((1_600..=2_000).contains(&at), "renewed after {at} s");
        assert_eq!(changed().await, None);
        let lasted = began.elapsed().as_secs() - at;
        assert!((3_595..=3_600).contains(&lasted), "taken back after {lasted} s");
        assert!(issued.load(Ordering::SeqCst) > 10, "asked again and again meanwhile");
        stop.cancel();
        keeping.await.unwrap();
    }
}
