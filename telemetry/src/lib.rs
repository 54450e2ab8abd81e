//! What a program tells of itself: where a request came from and where it goes on
//! (trace contexts), what was done and how long it took (spans), and how both, log
//! lines and figures reach a collector (OTLP over HTTP, cargo feature `otlp`).
//!
//! ```text
//!   traceparent ──parse──► TraceContext ─┐
//!                                        ├─► Tracer::span ─► Span ──end──► queue ─┐
//!   tracing::info!(trace_id = …) ─► Layer ──────────────────────────────► queue ─┤► Otlp ─► Connect ─► collector
//!   Source (asked every interval) ───────────────────────────────────────────────┘
//! ```
//!
//! What holds everywhere:
//! - Who tells never waits: a full queue drops what is newest, and [`Counts`] says so.
//! - Telemetry that is off costs a branch: no allocation, no random number, no clock.
//! - A trace context from outside is untrusted. One that is malformed is as none, and
//!   changes nothing but which trace a span belongs to.
//! - Without the feature `otlp` there is no exporter, and so [`Tracer::off`] is all
//!   there is. What uses this crate reads the same either way.

#![forbid(unsafe_code)]

mod counts;
mod queue;
mod trace;

pub mod metrics;
pub mod names;

#[cfg(feature = "otlp")]
pub mod log;
#[cfg(feature = "otlp")]
pub mod otlp;

pub use counts::{Counts, Loss, Signal};
pub use trace::{
    Finished, Kind, Malformed, Ratio, Span, SpanId, Status, TraceContext, TraceId, Tracer, Value,
};
