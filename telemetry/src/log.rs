//! Events of `tracing` as log records.

use std::{
    cell::Cell,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::SystemTime,
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::Context;

use crate::{SpanId, TraceId, Value, otlp::Record, queue::Queue};

/// Makes a log record of each event. Never waits: a full queue drops it.
///
/// An event's fields `trace_id` and `span_id` become the record's, as
/// [`TraceContext`](crate::TraceContext) writes them. Events of the exporter itself, and of what it
/// calls while it sends, make no records.
pub struct Layer {
    records: Arc<Queue<Record>>,
}

impl Layer {
    pub(crate) fn new(records: Arc<Queue<Record>>) -> Self {
        Self { records }
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Layer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if SENDING.get() || event.metadata().target().starts_with(OWN) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut attributes = fields.attributes;
        attributes.push(("target", event.metadata().target().into()));
        let record = Record {
            at: SystemTime::now(),
            level: *event.metadata().level(),
            body: fields.body,
            attributes,
            dropped_attributes: fields.dropped,
            trace: fields.trace,
            span: fields.span,
        };
        let weight = record.weight();
        self.records.push(record, weight);
    }
}

#[derive(Default)]
struct Fields {
    body: String,
    attributes: Vec<(&'static str, Value)>,
    dropped: u32,
    trace: Option<TraceId>,
    span: Option<SpanId>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), value.bounded()) {
            ("message", Value::Text(text)) => self.body = text.into_owned(),
            ("trace_id", Value::Text(text)) => self.trace = TraceId::parse(text.as_bytes()),
            ("span_id", Value::Text(text)) => self.span = SpanId::parse(text.as_bytes()),
            _ if self.attributes.len() >= MOST_FIELDS => self.dropped += 1,
            (name, value) => self.attributes.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned().into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }
}

/// Drives a future whose events make no records.
pub(crate) fn quietly<'f>(
    sending: impl Future<Output = ()> + Send + 'f,
) -> impl Future<Output = ()> + Send + 'f {
    Quiet(Box::pin(sending))
}

struct Quiet<'f>(Pin<Box<dyn Future<Output = ()> + Send + 'f>>);

impl Future for Quiet<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let before = SENDING.replace(true);
        let polled = self.0.as_mut().poll(cx);
        SENDING.set(before);
        polled
    }
}

thread_local! {
    /// Whether this thread sends telemetry right now.
    static SENDING: Cell<bool> = const { Cell::new(false) };
}

/// Everything in this crate.
const OWN: &str = "countersign_telemetry";

const MOST_FIELDS: usize = 64;
