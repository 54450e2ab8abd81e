//! The session CA: a root in a file or in AWS KMS, one issuing intermediate in
//! memory, and certificates that live as long as a lease.
//!
//! ```text
//!   root (file or KMS) ──days ahead──► intermediate (this process) ──at once──► session certificate over K
//! ```
//!
//! A session certificate says which session its holder may ask for, and is
//! worth nothing without the session's record: so there is no revocation list.
//! Replicas with one root take each other's certificates.

mod anchor;
mod error;
mod intermediate;
#[cfg(feature = "aws")]
mod kms;
mod leaf;
mod root;
mod root_file;
mod rotation;
mod session_ca;
mod trial;
mod unsigned;

pub use error::CaError;
#[cfg(feature = "aws")]
pub use kms::{BadKmsKey, KmsKey};
pub use leaf::{ClientKey, NotAClientKey, SessionCertificate};
pub use root::SessionRoot;
pub use root_file::make_session_root;
pub use rotation::Rotation;
pub use session_ca::SessionCa;
pub use trial::{TrialError, make_trial_certificate};

#[cfg(test)]
mod tests;
