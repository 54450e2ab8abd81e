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

mod encode;
mod messages;
mod record;
mod send;
mod settings;
mod worker;

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub use record::Record;
pub use send::{Connect, Connecting, Stream, TcpConnect};
pub use settings::{Anchors, BadSetting, Endpoint, Environment, Headers, Resource, Security, Settings};

use send::{Delivery, Tls};
use worker::{drain, measure};

use crate::{
    Counts, Finished, Signal, Tracer, Value,
    log::{Layer, quietly},
    metrics::Source,
    queue::{Bounds, Queue},
};

/// The way to a collector.
pub struct Otlp {
    settings: Settings,
    tls: Tls,
    spans: Arc<Queue<Finished>>,
    records: Arc<Queue<Record>>,
    counts: Counts,
}

impl Otlp {
    /// With empty queues. Nothing is sent before [`Self::run`].
    ///
    /// # Errors
    /// [`BadSetting::Anchors`], [`BadSetting::Tls`], or [`BadSetting::Endpoint`] for a host that TLS cannot check.
    pub fn new(settings: Settings) -> Result<Self, BadSetting> {
        let tls = Tls::new(&settings)?;
        let counts = Counts::default();
        let spans = Arc::new(Queue::new(BOUNDS, counts.overflow(Signal::Traces)));
        let records = Arc::new(Queue::new(BOUNDS, counts.overflow(Signal::Logs)));
        Ok(Self { settings, tls, spans, records, counts })
    }

    /// Whose spans go to this collector.
    pub fn tracer(&self) -> Tracer {
        Tracer::recording(self.settings.ratio, Arc::clone(&self.spans))
    }

    /// What makes log records of events.
    pub fn layer(&self) -> Layer {
        Layer::new(Arc::clone(&self.records))
    }

    /// With one more attribute of the resource: what is known late, as which instance this is.
    pub fn with_attribute(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.settings.resource = self.settings.resource.with(name, value);
        self
    }

    /// Where the collector is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.settings.endpoint
    }

    /// What became of what was told.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Sends until `stopping`, then what is left, for at most [`Self::FLUSH`].
    ///
    /// Events of this future, and of what it calls, are no log records: an exporter that
    /// told of its own sending would never end. What a [`Connect`] spawns is not covered.
    pub async fn run(self, connect: impl Connect, figures: impl Source, stopping: CancellationToken) {
        let Self { settings, tls, spans, records, counts } = self;
        let connect: Arc<dyn Connect> = Arc::new(connect);
        let delivery = |signal| {
            Delivery::new(&settings, signal, tls.clone(), Arc::clone(&connect), counts.clone(), &stopping)
        };
        let (Ok(traces), Ok(logs), Ok(metrics)) =
            (delivery(Signal::Traces), delivery(Signal::Logs), delivery(Signal::Metrics))
        else {
            // Its parts were parsed: they are of letters that a request may have.
            tracing::error!(code = "telemetry-not-sent", endpoint = %settings.endpoint, "no request can be made");
            return;
        };
        let resource = &settings.resource;
        let sending = async {
            tokio::join!(
                drain(&spans, encode::span, resource, traces, &stopping),
                drain(&records, encode::log_record, resource, logs, &stopping),
                measure(figures, settings.interval, resource, metrics, &stopping),
            );
        };
        let time_is_up = async {
            stopping.cancelled().await;
            sleep(Self::FLUSH).await;
        };
        quietly(async {
            tokio::select! {
                () = sending => {}
                () = time_is_up => {
                    tracing::warn!(code = "telemetry-lost", "the collector did not take the last of it in time");
                }
            }
        })
        .await;
    }

    /// How long the last batches may take.
    pub const FLUSH: Duration = Duration::from_secs(5);
}

/// Of each queue: about 4 MiB, and eight batches.
const BOUNDS: Bounds = Bounds { most: 4096, weight: 4 * 1024 * 1024, batch: 512 };

impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otlp").field("settings", &self.settings).finish_non_exhaustive()
    }
}
