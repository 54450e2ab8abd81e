//! What the two halves say to each other over a lane of a trunk, or a connection: HTTP/1.1, the enclave asks, one
//! `CONNECT` ends it.
//!
//! ```text
//!   enclave                                                     host half
//!     GET /v1/resolve?destination=kms.example:443      ──►
//!                                                      ◄──   200 {"addresses":["198.51.100.7"],"lifetime_seconds":15}
//!     (judges each address by its own policy)
//!     CONNECT kms.example:443
//!     Countersign-Addresses: 198.51.100.7              ──►
//!                                                      ◄──   200, Countersign-Address: 198.51.100.7
//!     bytes                                            ◄─►   bytes
//! ```
//!
//! The reference, for whoever writes another half, is `docs/host.md`.

mod addresses;
mod answer;
mod code;
mod request;

pub use addresses::{Addresses, AddressesError, MAX_ADDRESSES};
pub use answer::{Answer, AnswerError, AnswerHead, MAX_BODY, MIN_ANSWER, Resolved};
pub use code::HostCode;
pub use request::{Accepted, MAX_HEAD, Request, RequestError};
