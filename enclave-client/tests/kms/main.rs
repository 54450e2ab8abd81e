//! The KMS endpoint between real clients and stand-ins for KMS, over real sockets and TLS.
//!
//! ```text
//!   client (raw HTTP, aws-sdk-kms, boto3, aws-cli) ─► KmsEndpoint ─► Egress ─► TLS ─► stand-in
//!                                                                                 upstream.rs: in this process
//!                                                                                 moto.rs: moto behind a shim
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attested;
mod callers;
mod ciphertext_only;
mod failures;
mod imds;
mod moto;
mod offer;
mod rust_sdk;
mod setup;
mod upstream;
