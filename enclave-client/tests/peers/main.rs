//! Peers, over real sockets, real TLS and real documents of a software NSM.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod apart;
mod attacks;
mod carried;
mod configured;
mod lapsed;
mod party;
mod program;
mod renewed;
mod rig;
mod road;
mod talk;
