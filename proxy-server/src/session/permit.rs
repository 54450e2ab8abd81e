use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{EndReason, RegisterError, Session, watchers::Kind};

/// Permission for one tunnel: a value in hand is permission, and dropping it
/// gives the place back.
#[derive(Debug)]
pub struct TunnelPermit(SessionWatch);

/// Learns of a session's end. A connection holds one while it has no tunnel.
#[derive(Debug)]
pub struct SessionWatch {
    session: Arc<Session>,
    slot: u32,
    kind: Kind,
    /// Whom the session wakes for this slot.
    waker: Option<Waker>,
}

impl TunnelPermit {
    pub(super) fn new(watch: SessionWatch) -> Self {
        Self(watch)
    }

    /// The session that holds the tunnel.
    pub fn session(&self) -> &Arc<Session> {
        &self.0.session
    }

    /// Waits until the session ends: then the tunnel must be cut.
    pub async fn cut(&mut self) -> EndReason {
        poll_fn(|cx| self.poll_cut(cx)).await
    }

    /// [`Self::cut`] for a tunnel that polls by hand. Costs one atomic load
    /// unless the task changed.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<EndReason> {
        self.0.poll_ended(cx)
    }

    /// Whether the session still stands; to be asked right before bytes flow.
    ///
    /// # Errors
    /// [`RegisterError::Ended`] with the reason.
    pub fn still_allowed(&self) -> Result<(), RegisterError> {
        self.0.session.still_stands()
    }
}

impl SessionWatch {
    pub(super) fn new(session: Arc<Session>, slot: u32, kind: Kind) -> Self {
        Self { session, slot, kind, waker: None }
    }

    /// Waits until the session ends.
    pub async fn ended(&mut self) -> EndReason {
        poll_fn(|cx| self.poll_ended(cx)).await
    }

    /// [`Self::ended`] for callers that poll by hand.
    pub fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<EndReason> {
        if let Some(reason) = self.session.ended() {
            return Poll::Ready(reason);
        }
        if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.session.wake_on_end(self.slot, cx.waker().clone());
        self.waker = Some(cx.waker().clone());
        // The end may have come between the look above and the registration,
        // and then nobody was there to be woken.
        match self.session.ended() {
            Some(reason) => Poll::Ready(reason),
            None => Poll::Pending,
        }
    }
}

impl Drop for SessionWatch {
    fn drop(&mut self) {
        self.session.unregister(self.slot, self.kind);
    }
}
