use std::{borrow::Cow, future::Future, sync::Arc};

use countersign_protocol::{Host, Interval, Lease, message::Challenge};
use tokio::{
    sync::{Notify, watch},
    time::{Duration, Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    AttestError, Attested, Backoff, Epochs, Status,
    error::{Remedy, chain},
    renew_after, rotate,
};
use crate::{
    random::Fraction,
    telemetry::{AttestOutcome, Figures, OTHER, Telemetry},
};

/// One proxy by its name: where it is and how to connect there. The keeper's
/// seam to the network, so that its decisions run in tests without a socket.
pub trait Site: Send + 'static {
    /// One place to connect to.
    type Address: std::fmt::Display + Send;
    /// A connection to the attestation port.
    type Link: Link;

    /// All addresses, asked anew for each round.
    fn resolve(&self) -> impl Future<Output = Result<Vec<Self::Address>, AttestError>> + Send;

    /// Connects, within a deadline of its own.
    fn connect(
        &self,
        address: &Self::Address,
    ) -> impl Future<Output = Result<Self::Link, AttestError>> + Send;
}

/// A standing connection to an attestation port. Each call has its own deadline.
pub trait Link: Send {
    /// Asks for a nonce.
    fn challenge(&mut self) -> impl Future<Output = Result<Challenge, AttestError>> + Send;

    /// Answers it.
    fn answer(
        &mut self,
        challenge: &Challenge,
        lease: Lease,
    ) -> impl Future<Output = Result<Attested, AttestError>> + Send;

    /// Returns when the other end has closed. Must not lose anything when dropped.
    fn closed(&mut self) -> impl Future<Output = ()> + Send;
}

/// Keeps one proxy's session alive: attests, waits, attests again.
///
/// Make before break: a broken connection is replaced, and the new one attested,
/// while the old lease still runs; nothing here ever ends a lease early.
pub struct Keeper<S: Site> {
    site: S,
    interval: Interval,
    epochs: Epochs,
    status: watch::Sender<Status>,
    nudge: Nudge,
    jitter: fn() -> Fraction,
    /// Which address a round begins with; moves on with each address that failed.
    start: usize,
    counted: Option<(Host, Arc<Figures>)>,
}

/// Tells a keeper that its session is gone before its time.
#[derive(Clone, Debug, Default)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// Attest soon. Many calls count as one.
    pub fn attest_soon(&self) {
        self.0.notify_one();
    }
}

impl<S: Site> Keeper<S> {
    /// A keeper for `site`, and where it publishes.
    pub fn new(site: S, interval: Interval, nudge: Nudge) -> (Self, watch::Receiver<Status>) {
        let (status, receiver) = watch::channel(Status::starting());
        let keeper = Self {
            site,
            interval,
            epochs: Epochs::default(),
            status,
            nudge,
            jitter: Fraction::random,
            start: 0,
            counted: None,
        };
        (keeper, receiver)
    }

    /// The same with another source of jitter.
    pub fn with_jitter(mut self, jitter: fn() -> Fraction) -> Self {
        self.jitter = jitter;
        self
    }

    /// The same, counted under the proxy's name where somebody counts.
    pub fn counted(mut self, proxy: &Host, telemetry: &Telemetry) -> Self {
        self.counted = telemetry.figures().map(|figures| (proxy.clone(), figures.clone()));
        self
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep()).await;
    }

    async fn keep(&mut self) {
        let mut link = None;
        let mut backoff = Backoff::default();
        loop {
            match self.round(&mut link).await {
                Ok(attested) => {
                    backoff.reset();
                    let asked_at = attested.asked_at;
                    let next = asked_at + renew_after(attested.lease, self.interval, (self.jitter)());
                    self.publish(attested);
                    self.rest(asked_at, next, &mut link).await;
                }
                Err(error) => {
                    let wait = backoff.fail((self.jitter)());
                    self.report(&error, wait);
                    sleep(wait).await;
                }
            }
        }
    }

    /// The standing connection first, then every address in turn.
    async fn round(&mut self, link: &mut Option<Standing<S::Link>>) -> Result<Attested, AttestError> {
        if let Some(standing) = link {
            match self.attest(&mut standing.link).await {
                Ok(attested) => {
                    standing.renewed = true;
                    return Ok(attested);
                }
                Err(error) => {
                    *link = None;
                    if error.remedy() == Remedy::Wait {
                        return Err(error);
                    }
                    info!(code = error.code(), "standing connection failed: {}", chain(&error));
                }
            }
        }
        let mut last = None;
        for address in rotate(self.site.resolve().await?, self.start) {
            match self.attest_at(&address).await {
                Ok((fresh, attested)) => {
                    *link = Some(Standing { link: fresh, renewed: false });
                    return Ok(attested);
                }
                Err(error) => {
                    self.start = self.start.wrapping_add(1);
                    if error.remedy() == Remedy::Wait {
                        return Err(error);
                    }
                    warn!(code = error.code(), %address, "attestation failed: {}", chain(&error));
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or(AttestError::Deadline { what: "resolving the proxy" }))
    }

    async fn attest_at(&mut self, address: &S::Address) -> Result<(S::Link, Attested), AttestError> {
        let mut link = self.site.connect(address).await?;
        let attested = self.attest(&mut link).await?;
        Ok((link, attested))
    }

    async fn attest(&mut self, link: &mut S::Link) -> Result<Attested, AttestError> {
        let challenge = link.challenge().await?;
        self.epochs.observe(&challenge.deployment, challenge.epoch)?;
        let attested = link.answer(&challenge, self.interval.lease()).await?;
        self.epochs.observe(&challenge.deployment, attested.epoch)?;
        Ok(attested)
    }

    /// Waits for `next`, less when the session seems gone: somebody nudged, or a
    /// connection closed that had stood longer than one round (the proxy restarts
    /// or drains). One that closes before its first renewal is merely a proxy that
    /// keeps no idle connections: no reason to hurry.
    async fn rest(&self, asked_at: Instant, next: Instant, link: &mut Option<Standing<S::Link>>) {
        tokio::select! {
            () = sleep_until(next) => return,
            () = self.nudge.0.notified() => {}
            renewed = closed(link) => {
                *link = None;
                if !renewed {
                    return self.rest_unless_nudged(asked_at, next).await;
                }
            }
        }
        self.hurry(asked_at, next).await;
    }

    async fn rest_unless_nudged(&self, asked_at: Instant, next: Instant) {
        tokio::select! {
            () = sleep_until(next) => {}
            () = self.nudge.0.notified() => self.hurry(asked_at, next).await,
        }
    }

    async fn hurry(&self, asked_at: Instant, next: Instant) {
        let soon = Instant::now() + SOON.mul_f64((self.jitter)().get());
        sleep_until(soon.max(asked_at + SPACING).min(next)).await;
    }

    fn publish(&self, attested: Attested) {
        let Attested { session, lease, epoch, .. } = &attested;
        info!(%session, lease_seconds = lease.as_secs(), %epoch, "attested");
        let renewed = self.status.borrow().is_of(*session);
        self.count(if renewed { AttestOutcome::Renewed } else { AttestOutcome::Admitted });
        self.status.send_modify(|status| status.granted(Arc::new(attested)));
    }

    fn report(&self, error: &AttestError, wait: Duration) {
        let request_id = match error {
            AttestError::Refused(problem) => problem.request_id.as_str(),
            _ => "",
        };
        let retry_ms = wait.as_millis();
        warn!(code = error.code(), request_id, retry_ms, "not attested: {}", chain(error));
        self.count(AttestOutcome::Failed(error.word()));
        self.status.send_modify(|status| status.failed(error));
    }

    fn count(&self, outcome: AttestOutcome) {
        let Some((proxy, figures)) = &self.counted else { return };
        let other = AttestOutcome::Failed(Cow::Borrowed(OTHER));
        figures.attestations.add_or((proxy.clone(), outcome), (proxy.clone(), other));
    }
}

/// The connection that is kept between two rounds.
struct Standing<L> {
    link: L,
    /// Whether a round after the first was answered on it.
    renewed: bool,
}

/// Returns [`Standing::renewed`] when the connection closes; never, where there is none.
async fn closed<L: Link>(standing: &mut Option<Standing<L>>) -> bool {
    match standing {
        Some(Standing { link, renewed }) => {
            link.closed().await;
            *renewed
        }
        None => std::future::pending().await,
    }
}

/// The least time between two attestations that succeed.
const SPACING: Duration = Duration::from_secs(1);

/// The widest wait after the session seems gone: all enclaves of a restarted
/// proxy notice at the same moment.
const SOON: Duration = Duration::from_secs(2);

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
