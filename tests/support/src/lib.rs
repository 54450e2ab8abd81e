//! What tests and benchmarks need from the machine. Never part of a product.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod by_service;
mod collector;
mod halves;
pub mod logs;
mod oidc;
mod postgres;

pub use by_service::{ByService, ToldLog, ToldSpan};
pub use collector::{Answer, Collector, Told, attribute, hex};
pub use halves::{Halves, Plan, refused, tell};
pub use oidc::OidcProvider;
pub use postgres::{Durability, PostgresServer};
