//! The way through the host half: real sockets, real programs, UNIX sockets in the place of vsock.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod carrying;
mod limits;
mod program;
mod refusing;
mod rig;
mod trunks;
