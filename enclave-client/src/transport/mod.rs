//! The ways bytes leave the enclave. TLS runs over any of them alike.

mod address;
mod dial;

pub use address::{TransportError, parse_vsock};
pub use dial::{Address, Dial, DialError, MAX_ADDRESSES, Stream};
