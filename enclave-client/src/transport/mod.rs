//! The ways bytes leave and enter the enclave. TLS runs over any of them alike.

mod address;
mod dial;
mod listen;
mod race;
mod setbacks;
mod tcp;
mod unix;

pub use address::{TransportError, parse_vsock};
pub use dial::{Address, Dial, DialError, MAX_ADDRESSES, Stream};
pub use listen::{Listen, Listener};
pub use race::connect_first;
pub(crate) use setbacks::{Setbacks, pause};
pub(crate) use tcp::{connect, set_local, set_remote};
pub use unix::{UnixDoor, UnixSocket};
