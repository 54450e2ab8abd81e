//! What tests and benchmarks need from the machine. Never part of a product.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "halves")]
mod collector;
#[cfg(feature = "halves")]
mod halves;
mod postgres;

#[cfg(feature = "halves")]
pub use collector::{Collector, Told, ToldLog, ToldSpan};
#[cfg(feature = "halves")]
pub use halves::{Halves, Plan, refused, tell};
pub use postgres::{Durability, PostgresServer};

/// Longer than anything on loopback takes, however busy the machine is.
#[cfg(feature = "halves")]
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
