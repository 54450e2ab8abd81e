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
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use error::OpenError;
pub use gateway::Gateway;
pub use tunnel::Tunnel;

use crate::{
    attest::{Attested, Backoff, Nudge, Status},
    random::Fraction,
};
use http1::Idle;
use http2::Standing;
use state::{Missing, State};

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

    /// Opens a tunnel within [`limits::OPEN_DEADLINE`].
    ///
    /// # Errors
    /// [`OpenError`]: not attested, refused by the gateway with its problem, or not reachable.
    pub async fn open(&self, destination: &Destination) -> Result<Tunnel, OpenError> {
        let opened = timeout(limits::OPEN_DEADLINE, self.open_somehow(destination))
            .await
            .map_err(|_| OpenError::Deadline)?;
        if let Err(OpenError::Refused(problem)) = &opened
            && problem.known().is_some_and(session_is_gone)
        {
            self.nudge.attest_soon();
        }
        opened
    }

    /// Keeps connections warm and cuts the tunnels of a lapsed lease, until `stop`.
    pub async fn maintain(self: Arc<Self>, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep()).await;
        self.lock().cut_all();
    }

    async fn open_somehow(&self, destination: &Destination) -> Result<Tunnel, OpenError> {
        let (attested, cut) = self.session()?;
        // A connection that broke while it was idle says nothing about the
        // destination: the next kind is tried. An answer is final.
        if let Some(idle) = self.take_idle() {
            match idle.open(destination, &cut).await {
                Err(OpenError::Gateway(why)) => debug!("warm connection was dead: {why}"),
                answer => return answer,
            }
        }
        if let Some(standing) = self.pick_standing() {
            match standing.open(destination, &cut).await {
                Err(OpenError::Gateway(why)) => debug!("standing connection failed: {why}"),
                answer => return answer,
            }
        }
        Idle::connect(&self.gateway, &attested).await?.open(destination, &cut).await
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

    async fn keep(&self) {
        let mut status = self.status.clone();
        let mut backoff = Backoff::default();
        loop {
            let mut wait = limits::TICK;
            let now = status.borrow_and_update().clone();
            if let Some((missing, attested)) = self.tidy(&now) {
                match self.fill(missing, &attested).await {
                    Ok(()) => {
                        backoff.reset();
                        continue;
                    }
                    Err(why) => {
                        debug!("no warm connection to the gateway: {why}");
                        wait = backoff.fail(Fraction::random());
                        // Not before the wait is over, whoever asks.
                        tokio::time::sleep(wait.min(limits::TICK)).await;
                    }
                }
            }
            let next = self.lock().next_cut().map_or(Instant::now() + wait, |cut| cut.min(Instant::now() + wait));
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.wake.notified() => {}
                changed = status.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Follows the session, drops what is dead, and says what to connect next.
    fn tidy(&self, status: &Status) -> Option<(Missing, Arc<Attested>)> {
        let now = Instant::now();
        let mut state = self.lock();
        state.cut_lapsed(now);
        let attested = status.session(now).ok()?;
        state.adopt(attested);
        state.missing(now).map(|missing| (missing, attested.clone()))
    }

    async fn fill(&self, missing: Missing, attested: &Arc<Attested>) -> Result<(), OpenError> {
        match missing {
            Missing::Standing => {
                let cut = self.lock().adopt(attested);
                let standing = Standing::connect(&self.gateway, attested, &cut).await?;
                self.lock().add_standing(attested.session, standing);
            }
            Missing::Idle => {
                let idle = Idle::connect(&self.gateway, attested).await?;
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
fn session_is_gone(code: ProblemCode) -> bool {
    use ProblemCode::*;
    matches!(code, NoSession | LeaseLapsed | SessionEnded | KeyMismatch)
}
