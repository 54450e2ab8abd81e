//! The command line over the real program: on the machine beside a proxy that
//! runs, and over its admin port.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod audit;
mod changes;
mod line;
mod restored;
mod revocation;
mod usage;
