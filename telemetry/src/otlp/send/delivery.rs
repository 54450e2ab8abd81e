use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    super::settings::Settings,
    connect::Connect,
    post::{Failure, Post},
    retry,
    tls::Tls,
};
use crate::{Counts, Loss, Signal};

/// Sends batches of one signal, each until it is taken or its time is up.
pub(in crate::otlp) struct Delivery {
    post: Post,
    signal: Signal,
    counts: Counts,
    stopping: CancellationToken,
    /// Failures in a row, over all batches.
    failures: u32,
}

impl Delivery {
    pub(in crate::otlp) fn new(
        settings: &Settings,
        signal: Signal,
        tls: Tls,
        connect: Arc<dyn Connect>,
        counts: Counts,
        stopping: &CancellationToken,
    ) -> Result<Self, http::Error> {
        let post = Post::new(settings, signal, tls, connect)?;
        Ok(Self { post, signal, counts, stopping: stopping.clone(), failures: 0 })
    }

    /// Sends a batch of so many items. Returns when it is taken, or lost; after a loss not
    /// before the pause that follows a failure, so that a collector which refuses all is
    /// not asked in a loop.
    pub(in crate::otlp) async fn deliver(&mut self, body: Bytes, items: u64, patience: Duration) {
        let last = Instant::now() + patience;
        loop {
            // The last try is one that began after the stop.
            let stopped = self.stopping.is_cancelled();
            let failure = match timeout(REQUEST, self.post.send(body.clone())).await {
                Ok(Ok(rejected)) => return self.taken(items, rejected.min(items)),
                Ok(Err(failure)) => failure,
                Err(elapsed) => Failure::Unanswered(elapsed.into()),
            };
            let pause = self.pause(&failure);
            let lost = stopped || matches!(failure, Failure::Refused(_)) || Instant::now() + pause > last;
            self.note(&failure);
            if lost {
                self.counts.lose(self.signal, Loss::NotSent, items);
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.stopping.cancelled() => {}
            }
            if lost {
                return;
            }
        }
    }

    fn taken(&mut self, items: u64, rejected: u64) {
        self.counts.sent(self.signal, items - rejected);
        self.counts.lose(self.signal, Loss::Rejected, rejected);
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!(
                code = "telemetry-sent",
                signal = self.signal.as_str(),
                "the collector takes it again"
            );
        }
    }

    fn pause(&self, failure: &Failure) -> Duration {
        let ours = retry::pause(self.failures, retry::jitter());
        match failure {
            Failure::Later(_, Some(asked)) => ours.max(*asked),
            _ => ours,
        }
    }

    /// One line for a row of failures.
    fn note(&mut self, failure: &Failure) {
        if self.failures == 0 {
            tracing::warn!(
                code = "telemetry-not-sent",
                signal = self.signal.as_str(),
                why = %failure,
                "the collector does not take it; what finds no room meanwhile is dropped and counted"
            );
        }
        self.failures = self.failures.saturating_add(1);
    }
}

/// From the first packet of a connection to the last byte of the answer (OTLP's default).
const REQUEST: Duration = Duration::from_secs(10);
