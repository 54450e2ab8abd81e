//! What this program tells of itself beyond its log: OTLP metrics, traces and logs.
//!
//! ```text
//!   handle.rs     what the parts of the program hold: spans begin here       names.rs  their attributes
//!   figures.rs    counts, where somebody asked for them                      word.rs   reasons, in words of our own
//!   counted.rs    a connection among those that are counted
//!   late_layer.rs log lines, once it is known where to
//!        │
//!        ▼
//!   collector.rs  where to, and whether the policy lets it ──► exporter.rs ──► Egress::open, or TCP on the parent
//!   report.rs     figures as the collector gets them
//! ```
//!
//! Telemetry never holds anything up and never keeps anything alive: what a collector does not take in time is
//! dropped and counted. Of a request nothing is told but where it goes, who decided it, how many bytes passed and how
//! it ended: no path, no field, no content.

mod collector;
mod counted;
mod exporter;
mod figures;
mod handle;
mod late_layer;
pub mod names;
mod report;
mod word;

pub(crate) use collector::destination;
pub use collector::{Collector, CollectorDenied, NamedBy};
pub use counted::Counted;
pub(crate) use exporter::{Exporter, ThroughEgress};
pub use figures::{AttestOutcome, Figures, KmsOutcome, Tally, TunnelCounts, TunnelFigures};
pub use handle::Telemetry;
pub(crate) use handle::{end, trace_id};
pub use late_layer::LateLayer;
pub(crate) use report::Report;
pub use word::{OTHER, word};
