//! Figures as OpenTelemetry shapes them, and how they are read of a Prometheus registry.

mod model;

pub use model::{Distribution, Figure, Labels, Metric, Number, Points, Source};
