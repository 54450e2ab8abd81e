use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

/// Whether a connection is used for anything. A head that never ends is no
/// request, so whoever sends one byte now and then is idle.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<State>>);

struct State {
    under_way: u32,
    since: Instant,
    idle: Duration,
}

/// One request under way, until it is dropped.
pub(super) struct UnderWay(Activity);

impl Activity {
    /// A connection that may be idle for so long.
    pub(super) fn new(idle: Duration) -> Self {
        Self(Arc::new(Mutex::new(State { under_way: 0, since: Instant::now(), idle })))
    }

    /// One more request.
    pub(super) fn request(&self) -> UnderWay {
        self.state().under_way += 1;
        UnderWay(self.clone())
    }

    /// Waits until the connection was idle for too long.
    pub(super) async fn idle_too_long(&self) {
        loop {
            let until = {
                let state = self.state();
                match state.under_way {
                    0 if state.since.elapsed() >= state.idle => return,
                    0 => state.since + state.idle,
                    _ => Instant::now() + state.idle,
                }
            };
            sleep_until(until).await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way -= 1;
        state.since = Instant::now();
    }
}

/// A body that counts as a request under way until its end.
pub(super) struct Counted<B> {
    body: B,
    _under_way: UnderWay,
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, under_way: UnderWay) -> Self {
        Self { body, _under_way: under_way }
    }
}

impl<B: Body<Data: Buf> + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_only_without_a_request() {
        let activity = Activity::new(Duration::from_secs(30));
        let request = activity.request();
        let started = Instant::now();
        let over = tokio::spawn({
            let activity = activity.clone();
            async move { activity.idle_too_long().await }
        });
        tokio::time::sleep(Duration::from_secs(95)).await;
        assert!(!over.is_finished(), "an answer is under way");
        drop(request);
        over.await.unwrap();
        assert_eq!(started.elapsed().as_secs(), 125);
    }
}
