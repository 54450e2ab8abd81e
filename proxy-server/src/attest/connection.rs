use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use countersign_protocol::{Lease, Nonce, SessionId, wire};
use tokio::time::Instant;

use super::stream::SharedTls;
use crate::ca::ClientKey;

/// What the proxy remembers of one connection. Handlers reach it through the
/// request's extensions.
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    /// The key the client proved to hold; `None` when it showed no certificate.
    pub(super) key: Option<ClientKey>,
    pub(super) tls: SharedTls,
    challenge: Mutex<Option<Outstanding>>,
    session: Mutex<Option<SessionId>>,
    deadline: Deadline,
}

#[derive(Clone, Copy)]
struct Outstanding {
    nonce: Nonce,
    asked: Instant,
}

/// Why there is no nonce to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoNonce {
    NeverAskedOrUsed,
    Expired,
}

impl Connection {
    pub(super) fn new(peer: SocketAddr, key: Option<ClientKey>, tls: SharedTls) -> Self {
        Self {
            peer,
            key,
            tls,
            challenge: Mutex::default(),
            session: Mutex::default(),
            deadline: Deadline::new(STRANGER_IDLE),
        }
    }

    /// Makes this nonce the one to answer; an earlier one can be answered no more.
    pub(super) fn challenge(&self, nonce: Nonce) {
        let outstanding = Outstanding { nonce, asked: Instant::now() };
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(outstanding);
    }

    /// Takes the nonce out: whatever follows, it is used up.
    pub(super) fn take_nonce(&self) -> Result<Nonce, NoNonce> {
        let taken = self.challenge.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Outstanding { nonce, asked } = taken.ok_or(NoNonce::NeverAskedOrUsed)?;
        if asked.elapsed() < wire::NONCE_LIFETIME { Ok(nonce) } else { Err(NoNonce::Expired) }
    }

    /// The session that this connection was last given.
    pub(super) fn session(&self) -> Option<SessionId> {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever was admitted may stay silent for its whole lease.
    pub(super) fn admitted(&self, session: SessionId, lease: Lease) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        self.deadline.allow_idle(lease.duration() + STRANGER_IDLE);
    }

    /// A request is complete, or its answer is: the silence counts from now.
    pub(super) fn active(&self) {
        self.deadline.push();
    }

    /// When the connection is closed unless a request is complete before.
    pub(super) fn closes_at(&self) -> Instant {
        self.deadline.at()
    }
}

/// The time by which the next request must be complete. One deadline for
/// silence, slow heads and answers that nobody reads: all of them end here.
struct Deadline {
    began: Instant,
    idle_ms: AtomicU64,
    at_ms: AtomicU64,
}

impl Deadline {
    fn new(idle: Duration) -> Self {
        let idle_ms = millis(idle);
        Self { began: Instant::now(), idle_ms: AtomicU64::new(idle_ms), at_ms: AtomicU64::new(idle_ms) }
    }

    fn allow_idle(&self, idle: Duration) {
        self.idle_ms.store(millis(idle), Ordering::Relaxed);
    }

    fn push(&self) {
        let at = millis(self.began.elapsed()).saturating_add(self.idle_ms.load(Ordering::Relaxed));
        self.at_ms.fetch_max(at, Ordering::Relaxed);
    }

    fn at(&self) -> Instant {
        self.began + Duration::from_millis(self.at_ms.load(Ordering::Relaxed))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long somebody who was not admitted may keep a connection between two
/// requests: the nonce's lifetime and a little more.
const STRANGER_IDLE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_ends_the_connection_and_a_lease_prolongs_it() {
        let deadline = Deadline::new(STRANGER_IDLE);
        let begin = Instant::now();
        assert_eq!(deadline.at() - begin, STRANGER_IDLE);
        tokio::time::advance(Duration::from_secs(10)).await;
        deadline.push();
        assert_eq!(deadline.at() - begin, Duration::from_secs(25));
        deadline.allow_idle(Duration::from_secs(45));
        deadline.push();
        assert_eq!(deadline.at() - begin, Duration::from_secs(55));
    }
}
