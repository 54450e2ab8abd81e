//! # DEVELOPMENT ONLY
//!
//! **Nothing here proves anything about any machine.** This crate is a software Nitro Secure Module: it signs
//! real attestation documents under a real certificate chain, but the chain ends in a root that it made
//! itself and whose private key lies in a file. A verifier trusts such documents only where somebody named
//! that root as its anchor, which a release build of Countersign cannot do.
//!
//! The rule it follows: **simulate the device, never the check.** There is no "skip verification" switch
//! anywhere. The verifier runs in full on what this crate signs; only the trust anchor differs.
//!
//! ```text
//!   SimulatedRoot ──signs──► regional CA ──► zonal CA ──► instance CA ──► leaf        chain.rs, certificate.rs
//!     root.rs                 20 days         6 days        24 hours      3 hours
//!                                                                          │ signs
//!   Module (which image runs) ─► PcrBank (what was measured) ─► Claims ────┴─► COSE_Sign1   document.rs
//!     module.rs                    pcrs.rs                        ▲
//!                                                                 └── AttestationRequest      nsm.rs
//!   Fault (one broken rule)  ──alters exactly one step above──►                               fault/
//! ```
//!
//! What it does: documents of the shape AWS signs today, PCR extend and lock, and for every rule of the
//! verifier's checklist at least one [`Fault`] that breaks that rule and no other.
//!
//! What it does not: read a clock (each call is told the time), open a socket, or depend on the verifier.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod cbor;
mod certificate;
mod chain;
mod der;
mod document;
mod error;
mod fault;
mod key;
mod kms;
mod module;
mod nsm;
mod pcrs;
mod root;

pub use error::SimulatorError;
pub use fault::{Fault, UnknownFault};
pub use kms::seal_for_recipient;
pub use module::{Module, PcrValue};
pub use nsm::{AttestationRequest, SoftwareNsm};
pub use pcrs::{PcrDescription, PcrLock};
pub use root::SimulatedRoot;
