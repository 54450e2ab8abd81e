//! The HTTP CONNECT proxy on loopback that the application finds in its environment.
//!
//! It decides nothing and dials nothing: every request asks [`crate::egress`].

mod answer;
mod head;
mod serve;

pub use head::{Connect, HeadError, MAX_HEAD, parse};
pub use serve::{LocalProxy, LocalProxyLimits};
