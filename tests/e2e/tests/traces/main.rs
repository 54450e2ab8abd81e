//! One trace from the application through client, host half and proxy, and what of it reaches a collector: real
//! programs, real sockets (a UNIX socket stands for vsock), and OTLP read with OpenTelemetry's own messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chain;
mod hostile;
mod silent;
mod told;
mod way;
