//! The whole gateway, driven by real rustls and h2 clients over loopback.

mod abuse;
mod elsewhere;
mod handshake;
mod http1;
mod http2;
mod opening;
mod rate;
mod rig;
#[cfg(feature = "otlp")]
mod traces;
