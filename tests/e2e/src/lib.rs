//! The attacker's toolbox: both ends of the security argument, over the real parts.
//!
//! ```text
//!   Identity ──Dialer──► Attester ──Claim (every field can lie)──► the real proxy, in process (Proxy)
//!      │                    ▲                                          ▲
//!      │                 Middleman                                     │
//!      └──session_dialer──► gateway::open / Wire (any bytes) ──────────┘ ──► Upstream (the test holds the socket)
//! ```
//!
//! One file of `tests/` for each subject. Each attack asserts its own code. The
//! real client (RealClient, behind a Forwarder that can be cut) stands in
//! `tests/client.rs`, the real programs in `tests/programs.rs`, several of them on one
//! PostgreSQL server behind HAProxy in `tests/replicas.rs`.
//!
//! Everything stays on loopback, and nothing waits longer than [`PATIENCE`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attestation;
mod client;
mod far_end;
mod forwarder;
pub mod gateway;
mod h2_attestation;
mod http1;
mod identity;
mod installation;
mod mitm;
mod proxy;
mod recorder;
mod replicas;
mod scratch;
mod tls;
mod upstream;

pub use attestation::{Attester, Claim, now_ms};
pub use client::RealClient;
pub use far_end::{Errand, Kind, serve_errands};
pub use forwarder::Forwarder;
pub use h2_attestation::H2Attester;
pub use http1::{Answer, Closed, Wire};
pub use identity::Identity;
pub use installation::Setup;
pub use mitm::Middleman;
pub use proxy::{Admitted, Enclave, Proxy};
pub use recorder::Recorder;
pub use replicas::{Balancer, Replicas};
pub use scratch::Scratch;
pub use tls::{Dialer, PATIENCE, SERVER_NAME};
pub use upstream::{Upstream, read_to_end, round_trip};
