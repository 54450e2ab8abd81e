//! OTLP over HTTP: spans, log records and figures, on their way to a collector.
//!
//! ```text
//!   Otlp::new ─► .tracer()  .layer()  .counts()      before there is a runtime
//!            └─► .run(connect, figures, stopping)    three loops, one for each signal:
//!                 batch ─► encode ─► send ──429, 502, 503, 504, no answer──► wait, send again
//! ```
//!
//! A collector that hangs, refuses or is not there costs whoever tells nothing: queues
//! are bounded, and what finds no room is dropped and counted. Each request has a
//! deadline, each batch a last one.

mod messages;
mod record;
mod send;
mod settings;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use record::Record;
pub use send::{Connect, Connecting, Stream, TcpConnect};
pub use settings::{Anchors, BadSetting, Endpoint, Environment, Headers, Resource, Security, Settings};

use crate::{
    Counts, Finished, Loss, Signal, Tracer,
    log::Layer,
    metrics::Source,
    queue::{Bounds, Queue},
};

/// The way to a collector.
#[derive(Debug)]
pub struct Otlp {
    settings: Settings,
    spans: Arc<Queue<Finished>>,
    records: Arc<Queue<Record>>,
    counts: Counts,
}

impl Otlp {
    /// With empty queues. Nothing is sent before [`Self::run`].
    ///
    /// # Errors
    /// [`BadSetting::Anchors`] or [`BadSetting::Tls`].
    pub fn new(settings: Settings) -> Result<Self, BadSetting> {
        let counts = Counts::default();
        let spans = Arc::new(Queue::new(BOUNDS, counts.overflow(Signal::Traces)));
        let records = Arc::new(Queue::new(BOUNDS, counts.overflow(Signal::Logs)));
        Ok(Self { settings, spans, records, counts })
    }

    /// Whose spans go to this collector.
    pub fn tracer(&self) -> Tracer {
        Tracer::recording(self.settings.ratio, Arc::clone(&self.spans))
    }

    /// What makes log records of events.
    pub fn layer(&self) -> Layer {
        Layer::new(Arc::clone(&self.records))
    }

    /// What became of what was told.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Sends until `stopping`, then what is left, for at most [`Self::FLUSH`].
    ///
    /// Drive it as one task. Events of that task itself are no log records: an exporter
    /// that told of itself would never end.
    pub async fn run(self, connect: impl Connect, figures: impl Source, stopping: CancellationToken) {
        todo_run(self, connect, figures, stopping).await;
    }

    /// How long the last batches may take.
    pub const FLUSH: std::time::Duration = std::time::Duration::from_secs(5);
}

async fn todo_run(otlp: Otlp, _: impl Connect, _: impl Source, stopping: CancellationToken) {
    stopping.cancelled().await;
    for signal in Signal::ALL {
        otlp.counts.lose(signal, Loss::NotSent, 0);
    }
}

/// Of each queue: about 4 MiB, and eight batches.
const BOUNDS: Bounds = Bounds { most: 4096, weight: 4 * 1024 * 1024, batch: 512 };
