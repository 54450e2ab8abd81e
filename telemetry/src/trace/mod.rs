//! Trace contexts and spans.

mod context;
mod ids;
mod ratio;
mod span;
mod tracer;
mod value;

pub use context::{Malformed, TraceContext};
pub use ids::{SpanId, TraceId};
pub use ratio::Ratio;
pub use span::{Finished, Kind, Span, Status};
pub use tracer::Tracer;
pub use value::Value;
