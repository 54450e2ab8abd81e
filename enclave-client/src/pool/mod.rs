//! Warm connections to a proxy's gateway port, and tunnels through them.
//!
//! A tunnel takes the first of these that works:
//!
//! 1. a warm HTTP/1.1 connection, handshake done: the tunnel has it to itself,
//!    so bulk transfers share neither window nor order with others;
//! 2. a stream of a standing HTTP/2 connection: one round trip, no handshake;
//! 3. a new HTTP/1.1 connection.
//!
//! Why so, with the figures: decision 0032. Everything is bounded by [`limits`].

mod error;
mod gateway;
mod http1;
mod http2;
pub mod limits;
mod state;
mod tunnel;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_protocol::{Destination, ProblemCode};
use countersign_telemetry::Span;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use error::OpenError;
pub use gateway::Gateway;
pub use tunnel::Tunnel;

use crate::{
    attest::{Attested, Backoff, Nudge, Status, Trouble},
    random::Fraction,
    telemetry::names,
};
use http1::Idle;
use http2::Standing;
use state::{Missing, State, Survey};

/// The way through one proxy.
pub struct Pool {
    gateway: Gateway,
    status: watch::Receiver<Status>,
    nudge: Nudge,
    state: Mutex<State>,
    /// A connection was taken, or found dead.
    wake: Notify,
}

impl Pool {
    /// A pool that follows `status`. Opens tunnels at once; keeps connections
    /// warm only while [`Pool::maintain`] runs.
    pub fn new(gateway: Gateway, status: watch::Receiver<Status>, nudge: Nudge) -> Arc<Self> {
        let state = Mutex::new(State::new(Instant::now()));
        Arc::new(Self { gateway, status, nudge, state, wake: Notify::new() })
    }

    /// Opens a tunnel within [`limits::OPEN_DEADLINE`], as part of a span whose context goes to the gateway.
    ///
    /// # Errors
    /// [`OpenError`]: not attested, refused by the gateway with its problem, or not reachable.
    pub async fn open(&self, destination: &Destination, span: &mut Span) -> Result<Tunnel, OpenError> {
        let opened = timeout(limits::OPEN_DEADLINE, self.open_somehow(destination, span))
            .await
            .map_err(|_| OpenError::Deadline)?;
        if let Err(OpenError::Refused(problem)) = &opened
            && problem.known().is_some_and(session_is_gone)
        {
            self.nudge.attest_soon();
            // If the proxy has refused us meanwhile, its reason says more than that the session is gone.
            if let trouble @ Trouble::Failed { .. } = self.status.borrow().trouble() {
                return Err(OpenError::NotAttested(trouble.clone()));
            }
        }
        opened
    }

    /// Keeps connections warm and cuts the tunnels of a lapsed lease, until `stop`.
    pub async fn maintain(self: Arc<Self>, stop: CancellationToken) {
        stop.run_until_cancelled(async { tokio::join!(self.keep(), self.cut()) }).await;
        self.lock().cut_all();
    }

    async fn open_somehow(&self, destination: &Destination, span: &mut Span) -> Result<Tunnel, OpenError> {
        let (attested, cut) = self.session()?;
        let trace = span.context();
        // A connection that broke while it was idle says nothing about the
        // destination: the next kind is tried. An answer is final.
        if let Some(idle) = self.take_idle() {
            span.set(names::GATEWAY_CONNECTION, "warm");
            match idle.open(destination, &cut, trace).await {
                Err(OpenError::Gateway(why)) => debug!("warm connection was dead: {why}"),
                answer => return answer,
            }
        }
        if let Some(standing) = self.pick_standing() {
            span.set(names::GATEWAY_CONNECTION, "standing");
            match standing.open(destination, &cut, trace).await {
                Err(OpenError::Gateway(why)) => debug!("standing connection failed: {why}"),
                answer => return answer,
            }
        }
        span.set(names::GATEWAY_CONNECTION, "new");
        Idle::connect(&self.gateway, &attested, trace).await?.open(destination, &cut, trace).await
    }

    fn session(&self) -> Result<(Arc<Attested>, CancellationToken), OpenError> {
        let status = self.status.borrow().clone();
        let now = Instant::now();
        let attested = status.session(now).map_err(|trouble| OpenError::NotAttested(trouble.clone()))?;
        let mut state = self.lock();
        state.opened_at(now);
        Ok((attested.clone(), state.adopt(attested)))
    }

    fn take_idle(&self) -> Option<Idle> {
        let idle = self.lock().take_idle(Instant::now());
        self.wake.notify_one();
        idle
    }

    fn pick_standing(&self) -> Option<Standing> {
        self.lock().pick_standing()
    }

    /// Fills up what is missing, one connection after the other.
    async fn keep(&self) {
        let mut status = self.status.clone();
        let mut backoff = Backoff::default();
        let mut followed = true;
        loop {
            let now = status.borrow_and_update().clone();
            let (survey, attested) = self.survey(&now);
            let filled = match (survey.missing, attested) {
                (Some(missing), Some(attested)) => Some(self.fill(missing, &attested).await),
                _ => None,
            };
            if let Some(Err(why)) = &filled {
                debug!("no warm connection to the gateway: {why}");
            }
            match filled {
                Some(Ok(())) if !survey.died_young => {}
                // A gateway that accepts and then closes must not be dialled without a pause either.
                Some(_) => sleep(backoff.fail(Fraction::random())).await,
                None => {
                    backoff.reset();
                    tokio::select! {
                        () = sleep(limits::TICK) => {}
                        () = self.wake.notified() => {}
                        // A keeper that has stopped changes nothing: the lease it left runs to its end.
                        changed = status.changed(), if followed => followed = changed.is_ok(),
                    }
                }
            }
        }
    }

    /// Cuts the tunnels of each lease at the moment it lapses. Apart from
    /// [`Pool::keep`], which may be waiting for a handshake just then.
    async fn cut(&self) {
        loop {
            let tick = Instant::now() + limits::TICK;
            let next = self.lock().next_cut().map_or(tick, |lapse| lapse.min(tick));
            sleep_until(next).await;
            self.lock().cut_lapsed(Instant::now());
        }
    }

    /// Follows the session and looks at its connections.
    fn survey(&self, status: &Status) -> (Survey, Option<Arc<Attested>>) {
        let now = Instant::now();
        let Ok(attested) = status.session(now) else {
            return (Survey::default(), None);
        };
        let mut state = self.lock();
        state.adopt(attested);
        (state.survey(now), Some(attested.clone()))
    }

    async fn fill(&self, missing: Missing, attested: &Arc<Attested>) -> Result<(), OpenError> {
        match missing {
            Missing::Standing => {
                let cut = self.lock().adopt(attested);
                let standing = Standing::connect(&self.gateway, attested, &cut).await?;
                self.lock().add_standing(attested.session, standing);
            }
            Missing::Idle => {
                let idle = Idle::connect(&self.gateway, attested, None).await?;
                self.lock().add_idle(attested.session, idle);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gateway knows no such session (any more): attesting again is the cure.
pub(crate) fn session_is_gone(code: ProblemCode) -> bool {
    use ProblemCode::*;
    matches!(code, NoSession | LeaseLapsed | SessionEnded | MeasurementRevoked | KeyMismatch)
}
