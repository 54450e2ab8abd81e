//! One request to the collector, and when it is sent again.

mod connect;

pub use connect::{Connect, Connecting, Stream, TcpConnect};
