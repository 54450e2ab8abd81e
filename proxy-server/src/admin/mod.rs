//! The administrators' side of the proxy.

pub mod identity;
