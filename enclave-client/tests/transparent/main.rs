//! The transparent mode on a real kernel without netfilter rules, with real programs that
//! know no proxy, and no other way out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod attacks;
mod enclave;
mod go;
mod halves;
mod namespace;
mod programs;
mod tun;
