//! One request to the collector, and when it is sent again.

mod connect;
mod delivery;
mod post;
mod retry;
mod tls;

pub use connect::{Connect, Connecting, Stream, TcpConnect};
pub(super) use delivery::Delivery;
pub(super) use tls::Tls;
