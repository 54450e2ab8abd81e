//! What tests and benchmarks need from the machine. Never part of a product.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod postgres;

pub use postgres::{Durability, PostgresServer};
