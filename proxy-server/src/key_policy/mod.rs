//! KMS key policies: what a key should say of a workload's measurements, and where one in force says something else.
//!
//! ```text
//!   measurements ──► wanted.rs ──► statements to put into a key's policy
//!        │
//!        └────────────────────────────► drift.rs ──► findings: too wide, missing
//!   a key's policy, JSON ──► document.rs ──► statements, operators.rs ──► bounds.rs: which PCRs a statement demands
//! ```
//!
//! Pure. AWS's rules are those of the KMS developer guide, "Condition keys for AWS Nitro Enclaves", and of the IAM
//! user guide, "IAM JSON policy elements". What cannot be judged here counts as wide: a finding too many is looked at,
//! one too few is not. Decision: `docs/decisions/0063-key-policies.md`.
//!
//! Not looked at: grants, IAM policies, operations that take no attestation (ReEncrypt, CreateGrant, PutKeyPolicy).

mod bounds;
mod document;
mod drift;
mod finding;
mod operators;
mod wanted;

pub use document::{BadKeyPolicy, KeyPolicy};
pub use drift::drift;
pub use finding::{Fault, Finding};
pub use wanted::{Known, Standing, statements};

/// What takes `Recipient` and a key: an answer can be for an enclave alone. `GenerateRandom` names no key, so no key's
/// policy is asked about it.
pub const OPERATIONS: [&str; 4] =
    ["kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey", "kms:GenerateDataKeyPair"];

#[cfg(test)]
mod tests;
