//! AWS without AWS: moto with SigV4 and IAM switched on, behind the shim that honours `Recipient`
//! (`tests/python/kms_shim.py`); a real proxy, a real enclave client, boto3 as its application.
//!
//! ```text
//!   boto3 ─► KMS endpoint ─► Recorder ─► gateway ─► Recorder ─► shim ─► moto's KMS
//!     └─ AWS_CONTAINER_CREDENTIALS_FULL_URI ◄─ attestation port ◄─ Recorder ◄─ moto's STS
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod credentials;
mod key_policy;
mod recorded;
mod shim;
