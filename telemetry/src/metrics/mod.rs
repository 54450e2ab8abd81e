//! Figures as OpenTelemetry shapes them, and how they are read of a Prometheus registry.

mod model;
mod open_metrics;

pub use model::{Distribution, Figure, Labels, Metric, Number, Points, Source};
pub use open_metrics::{Unread, read as of_open_metrics};
