//! The root as a key in AWS KMS: it signs each replica's intermediate, twice a
//! week, and never leaves KMS. Decision: `docs/decisions/0024-session-root-in-kms.md`.

mod key;
mod public_key;
mod root;

pub use key::{BadKmsKey, KmsKey};
pub(super) use root::KmsRoot;

#[cfg(test)]
mod tests;
