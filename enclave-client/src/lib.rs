//! Inside the enclave: attests to the proxies, and carries the application's traffic.
//!
//! ```text
//!   manifest/ ──► cli/run ─┬─► attest/  one keeper for each proxy ──► attestation port
//!                          │      │ asks device/ for documents, publishes Status
//!                          │      ▼
//!                          ├─► pool/    warm connections, tunnels ──► gateway port
//!                          │      ▲
//!                          ├─► egress/  the one way out: policy, then pool/, host half or direct
//!                          │      ▲
//!                          ├─► local/   HTTP proxy on loopback ◄── application
//!                          ├─► transparent/  resolver and listeners on `lo` ◄── application that knows no proxy
//!                          ├─► kms/     a local KMS that attests each call ◄── application's AWS SDKs
//!                          ├─► peers/   other enclaves: proved to each other, then mutual TLS, both ways
//!                          ├─► ingress/ ports from outside ──► application, TLS ended here
//!                          ├─► init/    process 1, entropy, health, log to the host half
//!                          └─► child/   the application: environment, signals, exit code
//!
//!   egress/host_link/ ══vsock══► host/ on the parent
//!
//!   key (K)   tls (1.3 only)   transport/ (TCP, UNIX, vsock)   relay   random   log, throttle: under all of them
//! ```
//!
//! The library exists so that tests can drive its parts; the program is `main.rs`.
//!
//! What it never does: verify a document (that is the proxy's work) unless it is a peer's, resolve a gated
//! destination's name (the proxy does, and applies its rules to the address),
//! write the key anywhere, or listen on anything but loopback, unless the manifest
//! or the command line names the port (ingress, health).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod attest;
pub mod child;
pub mod cli;
pub mod device;
pub mod egress;
mod healthz;
pub mod host;
pub mod ingress;
pub mod init;
pub mod key;
pub mod kms;
pub mod local;
pub mod log;
pub mod manifest;
mod netlink;
pub mod peers;
pub mod pool;
pub mod random;
mod regular_file;
pub mod relay;
pub mod telemetry;
mod throttle;
pub mod tls;
pub mod transparent;
pub mod transport;
pub mod trunk;
