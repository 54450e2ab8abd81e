//! Verifies AWS Nitro Enclaves attestation documents.
//!
//! ```text
//!  bytes ──parse──▶ UnverifiedDocument ──verify──▶ Evidence ──appraise──▶ Admitted
//!                   what it says         what AWS   (with ReferenceValues) may pass
//!                                        says too
//! ```
//!
//! Each arrow either gives the next type or a [`Refusal`] with its stage, a stable code, what was expected and what was
//! there. No type further right can be made without passing the arrow.
//!
//! What this crate does not do: it reads no clock, opens no file or socket, draws no random number, and knows no other
//! trust root than AWS's unless built with the feature `simulator`. No input makes it panic, and what it does with a
//! document is bounded by that document's first 32 KiB. ([`EnclaveImage`] hashes an image of any size as it is read.)
//!
//! ```
//! use countersign_verifier::{CacheCapacity, Expectations, Expected, Freshness, TrustAnchor, UnixMillis, UnverifiedDocument, Verifier};
//!
//! let verifier = Verifier::new(TrustAnchor::aws(), CacheCapacity::default());
//! let refusal = UnverifiedDocument::parse(b"\x84").unwrap_err();
//! assert_eq!(refusal.code(), "truncated");
//! # fn admit(verifier: &Verifier, bytes: &[u8], nonce: &[u8], key: &[u8], binder: &[u8], now: UnixMillis) -> Result<(), countersign_verifier::Refusal> {
//! let document = UnverifiedDocument::parse(bytes)?;
//! let evidence = verifier.verify(&document, &Expectations {
//!     at: now,
//!     freshness: Freshness::Within { past: std::time::Duration::from_secs(60), future: std::time::Duration::from_secs(5) },
//!     nonce: Expected::Exactly(nonce),
//!     public_key: Expected::Exactly(key),
//!     user_data: Expected::Exactly(binder),
//! })?;
//! # drop(evidence); Ok(()) }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![forbid(unsafe_code)]

// Values: each can only hold what is right.
mod pcr;
mod refusal;
mod time;

// Readers: bytes to structure.
mod cbor;
mod certificate;
mod der;
mod document;

// Measuring: an image to the PCRs its enclaves will have.
mod eif;

// Verification: structure to evidence.
mod anchor;
mod cache;
mod chain;
mod crypto;
mod evidence;
mod verifier;

// Appraisal: evidence to permission.
mod appraisal;

pub use anchor::TrustAnchor;
pub use appraisal::{Admitted, DebugMode, Explanation, Measurement, MeasurementError, Near, ReferenceValues};
pub use cache::{CacheCapacity, CacheStats};
pub use certificate::CertificateSummary;
pub use document::{MAX_DOCUMENT_BYTES, UnverifiedDocument};
pub use eif::{Architecture, EifError, EnclaveImage, ImagePart, SectionKind, SignatureFault};
pub use evidence::Evidence;
pub use pcr::{NotAPcr, Pcr, PcrIndex, PcrSet};
pub use refusal::{
    AppraisalRefusal, BindingRefusal, BoundField, CertificateFault, ChainRefusal, Difference, Field,
    FreshnessRefusal, Item, Mismatch, Position, Refusal, Stage, SyntaxRefusal,
};
pub use time::UnixMillis;
pub use verifier::{Expectations, Expected, Freshness, Verifier};
