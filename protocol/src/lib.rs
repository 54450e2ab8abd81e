//! What an enclave and the proxy must agree on, and nothing else.
//!
//! ```text
//!  enclave-client                                   proxy-server
//!       │  POST /v1/challenge                            │
//!       │ ─────────────────────────────────────────────▶ │
//!       │                      message::Challenge{Nonce} │
//!       │ ◀───────────────────────────────────────────── │
//!       │  document: nonce, SPKI(K), Binder::digest      │
//!       │  POST /v1/attest       message::Attest         │
//!       │ ─────────────────────────────────────────────▶ │
//!       │                  message::Grant{SessionId,…}   │
//!       │ ◀───────────────────────────────────────────── │
//!       │  CONNECT Destination      (mutual TLS)         │
//!       │ ═════════════════════════════════════════════▶ │
//! ```
//!
//! The crate is pure: no I/O, no clock, no async. Every type is parsed once and
//! cannot be wrong afterwards. `docs/protocol.md` describes the same exchange
//! for whoever implements it in another language.
//!
//! It does not verify documents (that is `countersign-verifier`), and it does not
//! say who may pass: that is the proxy's decision. What may leave an enclave is
//! judged here, since its client and its host half must judge alike.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod address;
mod binder;
mod destination;
pub mod egress;
mod id;
pub mod ingress;
mod lease;
pub mod message;
mod nonce;
mod p256;
pub mod peer;
mod problem;
pub mod wire;

pub use address::{AddressClass, classify, unmap};
pub use binder::{BINDER_LEN, Binder, Role};
pub use destination::{Destination, DestinationError, Host};
pub use id::{BootId, Deployment, Epoch, IdError, KeyThumbprint, SessionId};
pub use lease::{Interval, Lease, LeaseBounds, LeaseError};
pub use nonce::Nonce;
pub use p256::{P256_POINT_LEN, P256_SPKI_LEN, p256_point};
pub use problem::{Problem, ProblemCode};
