//! What tests and benchmarks need from the machine. Never part of a product.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod collector;
pub mod logs;
mod oidc;
mod postgres;

pub use collector::{Answer, Collector, Told, attribute, hex};
pub use oidc::OidcProvider;
pub use postgres::{Durability, PostgresServer};
