//! What log lines say of the trace that they belong to.

use countersign_telemetry::{Span, SpanId, TraceId};
use tracing::field::{DisplayValue, display};

/// For a line's fields `trace_id` and `span_id`: absent where there is no trace.
pub(crate) fn fields(span: &Span) -> (Option<DisplayValue<TraceId>>, Option<DisplayValue<SpanId>>) {
    let context = span.context();
    (context.map(|context| display(context.trace_id())), context.map(|context| display(context.span_id())))
}
