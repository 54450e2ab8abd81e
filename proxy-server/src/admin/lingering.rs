use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::timeout;

/// A request's body, lent to whoever answers it.
///
/// A connection that is closed with bytes unread is reset: whoever sends all of
/// a request before he reads would not hear why it was refused (RFC 9112
/// section 9.6). So what a refusal left unread is taken in and thrown away,
/// within bounds.
pub(super) struct Lent(Arc<Mutex<Body>>);

impl Lent {
    /// The body to hand on, and the one to come back to.
    pub(super) fn new(body: Body) -> (Body, Self) {
        let shared = Arc::new(Mutex::new(body));
        (Body::new(Self(Arc::clone(&shared))), Self(shared))
    }

    /// Takes in what is left, at most [`BYTES`] and for at most [`TIME`].
    pub(super) async fn drain(mut self) {
        let drain = async {
            let mut left = BYTES;
            while let Some(Ok(frame)) = self.frame().await
                && let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len))
            {
                left = rest;
            }
        };
        let _ = timeout(TIME, drain).await;
    }

    fn body(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.body()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

/// Four of the largest bodies that are taken.
const BYTES: usize = 4 * 1024 * 1024;

/// Whoever is still sending by then does not read soon either.
const TIME: Duration = Duration::from_secs(1);
