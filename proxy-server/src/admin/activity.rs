use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
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
    /// When a request came, a piece of an answer was taken, or an answer was over.
    moved: Instant,
    idle: Duration,
    stuck: Duration,
}

/// One request under way, until it is dropped.
pub(super) struct UnderWay(Activity);

impl Activity {
    /// A connection that may be idle for so long, and stand still for as long as `stuck` while
    /// answers are under way: over HTTP/2 whoever opens no window keeps his answers for ever.
    pub(super) fn new(idle: Duration, stuck: Duration) -> Self {
        Self(Arc::new(Mutex::new(State { under_way: 0, moved: Instant::now(), idle, stuck })))
    }

    /// One more request.
    pub(super) fn request(&self) -> UnderWay {
        let mut state = self.state();
        state.under_way += 1;
        state.moved = Instant::now();
        drop(state);
        UnderWay(self.clone())
    }

    /// Waits until nothing moved on the connection for too long.
    pub(super) async fn idle_too_long(&self) {
        loop {
            let (until, again) = {
                let State { under_way, moved, idle, stuck } = *self.state();
                (moved + if under_way == 0 { idle } else { stuck }, Instant::now() + idle)
            };
            if until <= Instant::now() {
                return;
            }
            // An answer that ends meanwhile leaves less time.
            sleep_until(until.min(again)).await;
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
        state.moved = Instant::now();
    }
}

/// A body that counts as a request under way until its end.
pub(super) struct Counted<B> {
    body: B,
    under_way: UnderWay,
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, under_way: UnderWay) -> Self {
        Self { body, under_way }
    }
}

impl<B: Body<Data: Buf> + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.under_way.0.state().moved = Instant::now();
        Poll::Ready(frame)
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
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_nothing_moves() {
        let activity = Activity::new(Duration::from_secs(30), Duration::from_secs(50));
        let started = Instant::now();
        let over = tokio::spawn({
            let activity = activity.clone();
            async move { activity.idle_too_long().await }
        });
        let request = activity.request();
        let mut answer = Counted::new(Full::new(Bytes::from_static(b"piece")), request);
        tokio::time::sleep(Duration::from_secs(45)).await;
        answer.frame().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_secs(45)).await;
        assert!(!over.is_finished(), "a piece of its answer was taken");
        drop(answer);
        over.await.unwrap();
        assert_eq!(started.elapsed().as_secs(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_does_not_keep_its_connection() {
        let activity = Activity::new(Duration::from_secs(30), Duration::from_secs(50));
        let started = Instant::now();
        let _answer = Counted::new(Full::new(Bytes::from_static(b"piece")), activity.request());
        activity.idle_too_long().await;
        assert_eq!(started.elapsed().as_secs(), 50);
    }
}
