//! The attestation-gated proxy: admission, session, tunnel.
//!
//! ```text
//!   enclave ──TLS, own key──► attest ──evidence──► admission ──► session ◄── gateway ◄──mutual TLS── enclave
//!                               │                      │            │           │
//!                               │                      ▼            │           ▼
//!                               │                   policy ◄────────┘        destination
//!                               ▼                      ▲
//!                               ca                   store (epoch, measurements, sessions, audit)
//! ```
//!
//! Arrows of use run one way: `attest` and `gateway` use `session`, everything
//! reads `policy`, and `store` lies below all of them. [`serve`] alone knows
//! every part.
//!
//! It does not verify documents itself (that is `countersign-verifier`), it
//! never ends TLS to a destination, and no policy in it allows by default.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod accept;
pub mod admin;
pub mod attest;
pub mod audit;
pub mod aws;
pub mod ca;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod gateway;
mod handshakes;
pub mod key_policy;
pub mod log;
mod percent;
pub mod policy;
pub mod proxy_protocol;
pub mod refusal;
pub mod replica;
pub mod serve;
pub mod session;
pub mod store;
pub mod telemetry;
