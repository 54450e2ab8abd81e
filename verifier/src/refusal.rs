//! Why a document was refused: which stage, a stable code, what was expected and what was there.
//!
//! Every refusal is one row: [`Refusal::stage`], [`Refusal::code`], [`Refusal::expected`], [`Refusal::actual`]. The codes
//! are part of the interface: programs and dashboards match on them, so a code is never reused for another meaning.

mod appraisal;
mod binding;
mod chain;
mod freshness;
mod syntax;

use std::borrow::Cow;
use std::fmt;

pub use appraisal::{AppraisalRefusal, Difference, Mismatch};
pub use binding::{BindingRefusal, BoundField};
pub use chain::{CertificateFault, ChainRefusal, Position};
pub use freshness::FreshnessRefusal;
pub use syntax::{Field, Item, SyntaxRefusal};

/// The verdict "no", with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are not a document of an enclave.
    Syntax(SyntaxRefusal),
    /// The document's own time does not suit the caller's.
    Freshness(FreshnessRefusal),
    /// The document is bound to another nonce, key or user data than the caller's.
    Binding(BindingRefusal),
    /// The certificates do not lead from the trust anchor to the signer.
    Chain(ChainRefusal),
    /// The leaf's key did not make the signature of this payload (RFC 9052 section 4.4).
    Signature,
    /// The enclave is genuine, and not one that is wanted.
    Appraisal(AppraisalRefusal),
}

/// The part of verification that refused. They run in this order, cheap ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// CBOR, COSE and the shape of the payload.
    Syntax,
    /// The document's timestamp against the caller's time.
    Freshness,
    /// Nonce, public key and user data.
    Binding,
    /// The certificates.
    Chain,
    /// The COSE signature.
    Signature,
    /// The PCRs against the reference values.
    Appraisal,
}

impl Stage {
    /// The stage as one lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Freshness => "freshness",
            Self::Binding => "binding",
            Self::Chain => "chain",
            Self::Signature => "signature",
            Self::Appraisal => "appraisal",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is mostly known at compile time.
pub(crate) type Words = Cow<'static, str>;

/// What every refusal says besides its stage.
pub(crate) struct Row {
    pub(crate) code: &'static str,
    pub(crate) expected: Words,
    pub(crate) actual: Words,
}

impl Row {
    pub(crate) fn new(code: &'static str, expected: impl Into<Words>, actual: impl Into<Words>) -> Self {
        Self { code, expected: expected.into(), actual: actual.into() }
    }
}

impl Refusal {
    /// Which part of verification refused.
    pub const fn stage(&self) -> Stage {
        match self {
            Self::Syntax(_) => Stage::Syntax,
            Self::Freshness(_) => Stage::Freshness,
            Self::Binding(_) => Stage::Binding,
            Self::Chain(_) => Stage::Chain,
            Self::Signature => Stage::Signature,
            Self::Appraisal(_) => Stage::Appraisal,
        }
    }

    /// The reason as a stable word in kebab-case, for programs to match on.
    pub fn code(&self) -> &'static str {
        self.row().code
    }

    /// What would have been accepted.
    pub fn expected(&self) -> String {
        self.row().expected.into_owned()
    }

    /// What was there instead.
    pub fn actual(&self) -> String {
        self.row().actual.into_owned()
    }

    fn row(&self) -> Row {
        match self {
            Self::Syntax(refusal) => refusal.row(),
            Self::Freshness(refusal) => refusal.row(),
            Self::Binding(refusal) => refusal.row(),
            Self::Chain(refusal) => refusal.row(),
            Self::Signature => Row::new(
                "signature-invalid",
                "a COSE_Sign1 signature over this payload by the leaf certificate's key",
                "a signature that does not verify",
            ),
            Self::Appraisal(refusal) => refusal.row(),
        }
    }
}

impl fmt::Display for Refusal {
    /// One sentence: `refused at chain (certificate-expired): expected …; found …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { code, expected, actual } = self.row();
        write!(f, "refused at {} ({code}): expected {expected}; found {actual}", self.stage())
    }
}

impl std::error::Error for Refusal {}

/// At most 32 bytes of `bytes` in hexadecimal, and how many there are.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN) {
        Some(start) if bytes.len() > SHOWN => format!("{}… ({} bytes)", hex::encode(start), bytes.len()),
        _ if bytes.is_empty() => "an empty byte string".to_owned(),
        _ => hex::encode(bytes),
    }
}

/// Enough of a value to tell it from another; a refusal is a sentence, not a dump.
const SHOWN: usize = 32;
