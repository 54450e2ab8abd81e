//! What two enclaves must agree on that talk to each other.
//!
//! ```text
//!   initiator                                            responder
//!       │  TLS 1.3, both with self-signed P-256 keys, ALPN wire::PEER_ALPN
//!       │ ◀═══════════════════════════════════════════════▶ │
//!       │  Opening::Carry: both know the other's key         │   the application's bytes follow
//!       │  Opening::Prove: they do not, or not any more      │   messages follow, each with its length
//!       │    Challenge ─▶ ◀─ Challenge                        │
//!       │    Proof     ─▶ ◀─ Proof                            │   PeerBinder in each document
//!       │    Accepted  ─▶ ◀─ Accepted     (or Refused)        │   again each interval
//! ```
//!
//! - `config`, `measurement`: who a peer may be, in a form that can be signed.
//! - `signature`: that somebody signed it.
//! - `binder`, `message`, `opening`: the exchange above.
//!
//! `docs/peers.md` tells the same to whoever implements it in another language.

mod binder;
mod config;
mod error;
mod measurement;
mod message;
mod opening;
mod signature;

pub use binder::{PEER_EXPORTER_LABEL, PeerBinder, Side, exporter_context};
pub use config::{PeerConfig, PeerConfigFields, Serial, TrustRoot, Validity};
pub use error::PeerConfigError;
pub use measurement::PeerMeasurement;
pub use message::{FrameError, PeerMessage, PeerRefusal, frame, frame_length};
pub use opening::{Opening, PEER_ALPN};
pub use signature::{ConfigSignature, SignatureAlgorithm, SignatureError, SignerKey, SignerKeyError};
