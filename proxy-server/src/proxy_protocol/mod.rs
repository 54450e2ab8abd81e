//! The PROXY protocol, version 2: a load balancer that passes TCP through says
//! before the first byte of TLS whose connection it is.
//!
//! <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>
//!
//! Whoever may write such a header chooses his own address, so only the
//! networks that the configuration names may, and those must: "The receiver MUST
//! NOT try to guess whether the header is present or not" (section 2).
//!
//! | file | what |
//! |---|---|
//! | `header` | the bytes: pure |
//! | `tlv`, `crc32c` | what stands after the addresses, and its checksum |
//! | `receive` | from a connection to its client's address |

mod crc32c;
mod header;
mod receive;
mod tlv;

pub use header::{Header, HeaderError, MAX_LEN, PREFIX_LEN, Prefix};
pub(crate) use receive::ReceiveError;
pub use receive::{EveryAddress, LoadBalancers};

#[cfg(test)]
mod tests;
