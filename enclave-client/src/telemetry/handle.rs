use std::sync::Arc;

use countersign_protocol::Destination;
use countersign_telemetry::{
    Kind, Span, Status, TraceContext, TraceId, Tracer,
    names::{BYTES_DOWN, BYTES_UP, END_REASON, SERVER_ADDRESS, SERVER_PORT},
};
use tracing::field::{DisplayValue, display};

use super::Figures;
use crate::relay::{End, Report};

/// What the parts of this program tell by. Cheap to clone, and by default silent.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    tracer: Tracer,
    figures: Option<Arc<Figures>>,
}

impl Telemetry {
    /// Spans go to `tracer`, and `figures` are counted, where there are any.
    pub fn new(tracer: Tracer, figures: Option<Arc<Figures>>) -> Self {
        Self { tracer, figures }
    }

    /// What is counted, where somebody counts.
    pub fn figures(&self) -> Option<&Arc<Figures>> {
        self.figures.as_ref()
    }

    /// Whether anything is traced.
    pub(crate) fn traces(&self) -> bool {
        self.tracer.is_on()
    }

    /// The application's request for a tunnel.
    pub(crate) fn connect_span(&self, to: &Destination, parent: Option<&TraceContext>) -> Span {
        self.span("CONNECT", to, parent)
    }

    /// The application's request that is sent on to its origin.
    pub(crate) fn forward_span(&self, to: &Destination, parent: Option<&TraceContext>) -> Span {
        self.span("forward", to, parent)
    }

    /// The host half's part: to reach a destination for the enclave.
    pub(crate) fn dial_span(&self, to: &Destination, parent: Option<&TraceContext>) -> Span {
        self.span("dial", to, parent)
    }

    fn span(&self, name: &'static str, to: &Destination, parent: Option<&TraceContext>) -> Span {
        let mut span = self.tracer.span(name, Kind::Server, parent);
        span.set_with(SERVER_ADDRESS, || to.host().to_string().into());
        span.set(SERVER_PORT, to.port());
        span
    }
}

/// Ends a span with what its relay did.
pub(crate) fn end(mut span: Span, report: &Report) {
    let Report { end, up, down } = report;
    span.set(BYTES_UP, *up);
    span.set(BYTES_DOWN, *down);
    match end {
        End::Finished => span.set(END_REASON, "finished"),
        // Whoever asked drops its own connections as it likes.
        End::Near(_) => span.set(END_REASON, "dropped"),
        End::Far(_) => return span.fail("tunnel-broke"),
        End::Cut => return span.fail("tunnel-cut"),
    }
    span.end(Status::Unset);
}

/// The field `trace_id` of a log line; without a trace the line has none.
pub(crate) fn trace_id(trace: Option<TraceContext>) -> Option<DisplayValue<TraceId>> {
    trace.map(|trace| display(trace.trace_id()))
}
