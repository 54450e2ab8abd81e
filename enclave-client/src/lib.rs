//! Inside the enclave: attests to the proxies, and carries the application's traffic.
//!
//! ```text
//!   manifest/ ──► cli/run ─┬─► attest/  one keeper for each proxy ──► attestation port
//!                          │      │ asks device/ for documents, publishes Status
//!                          │      ▼
//!                          ├─► pool/    warm connections, tunnels ──► gateway port
//!                          │      ▲
//!                          ├─► local/   HTTP CONNECT proxy on loopback ◄── application
//!                          ├─► kms/     a local KMS that attests each call ◄── application's AWS SDKs
//!                          └─► child/   the application: environment, signals, exit code
//!
//!   key (K)   tls (1.3 only)   transport/ (TCP, UNIX, vsock)   random   log: under all of them
//! ```
//!
//! The library exists so that tests can drive its parts; the program is `main.rs`.
//!
//! What it never does: verify a document (that is the proxy's work), resolve a
//! destination's name (the proxy does, and applies its rules to the address),
//! write the key anywhere, or listen on anything but loopback.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod attest;
pub mod child;
pub mod cli;
pub mod device;
pub mod egress;
pub mod key;
pub mod kms;
pub mod local;
pub mod log;
pub mod manifest;
pub mod pool;
pub mod random;
pub mod tls;
pub mod transport;
