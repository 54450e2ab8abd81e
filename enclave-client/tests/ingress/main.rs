//! The way in, over real sockets, real TLS and real programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod attested;
mod caller;
mod carried;
mod rig;
mod stalled;
