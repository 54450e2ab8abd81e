//! A document and what the caller expects of it, to evidence.

use crate::anchor::TrustAnchor;
use crate::cache::{Cache, CacheCapacity, CacheStats, Issuer};
use crate::chain::{self, VerifiedChain};
use crate::crypto::{SignatureCount, verify_document};
use crate::document::UnverifiedDocument;
use crate::evidence::Evidence;
use crate::refusal::{BindingRefusal, BoundField, ChainRefusal, FreshnessRefusal, Refusal};
use crate::time::UnixMillis;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use std::sync::Arc;
use std::time::Duration;

/// Everything the caller knows and the document has to agree with.
#[derive(Clone, Copy, Debug)]
pub struct Expectations<'a> {
    /// The caller's time: every certificate must be valid then. The verifier reads no clock.
    pub at: UnixMillis,
    /// How far the document's own timestamp may be from `at`.
    pub freshness: Freshness,
    /// The challenge that was given.
    pub nonce: Expected<'a>,
    /// The public key of the enclave at the other end of the connection.
    pub public_key: Expected<'a>,
    /// The binder of the exchange.
    pub user_data: Expected<'a>,
}

/// What the caller expects in one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    /// These very bytes, compared in constant time. A field that is null or absent is refused, even when nothing is expected in it.
    Exactly(&'a [u8]),
    /// Anything. Only for tools that inspect documents: who admits an enclave compares all three fields.
    Unchecked,
}

/// How far a document's timestamp may be from the caller's time. Both ends are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Within these spans before and after the caller's time.
    Within {
        /// How old a document may be.
        past: Duration,
        /// How much later than the caller's clock the hypervisor's may be.
        future: Duration,
    },
    /// Any time at which the leaf certificate is valid. For tools that verify kept documents.
    AtOwnTime,
}

/// Verifies documents under one trust anchor, and remembers their certificates.
///
/// Many threads may use one verifier. It reads no clock, opens nothing and waits for nothing but its own short locks.
///
/// A document costs one P-384 verification and one more for each of its certificates that is not known yet: five for
/// the first document, two for a new enclave on a known instance, one for an enclave that attests again.
#[derive(Debug)]
pub struct Verifier {
    anchor: TrustAnchor,
    /// The anchors built in can be read, as a test proves; should one not be, every document is refused.
    root: Result<Arc<Issuer>, ChainRefusal>,
    cache: Cache,
    signatures: SignatureCount,
}

impl Verifier {
    /// A verifier that knows its anchor and nothing else.
    pub fn new(anchor: TrustAnchor, capacity: CacheCapacity) -> Self {
        let root = chain::anchor(anchor.der());
        Self { anchor, root, cache: Cache::new(capacity), signatures: SignatureCount::default() }
    }

    /// Turns a document into evidence: all that it says, AWS's hypervisor says, at a time and to a challenge that suit.
    ///
    /// Cheap checks come first: freshness, nonce, public key and user data; then names, times and places of the
    /// certificates; then their signatures and the document's. What the PCRs are worth, [`Evidence::appraise`] tells.
    ///
    /// # Errors
    /// The first expectation that does not hold, of the stages [`Freshness`](crate::Stage::Freshness),
    /// [`Binding`](crate::Stage::Binding), [`Chain`](crate::Stage::Chain) and [`Signature`](crate::Stage::Signature).
    pub fn verify<'a>(
        &self,
        document: &UnverifiedDocument<'a>,
        expectations: &Expectations<'_>,
    ) -> Result<Evidence<'a>, Refusal> {
        let Expectations { at, freshness, nonce, public_key, user_data } = *expectations;
        freshness.check(document.timestamp(), at)?;
        nonce.check(BoundField::Nonce, document.nonce())?;
        public_key.check(BoundField::PublicKey, document.public_key())?;
        user_data.check(BoundField::UserData, document.user_data())?;

        if document.cabundle().first() != Some(&self.anchor.der()) {
            return Err(ChainRefusal::UntrustedRoot { anchor: self.anchor.name().to_owned() }.into());
        }
        let root = self.root.as_ref().map_err(Clone::clone)?;
        let VerifiedChain { leaf, not_after } =
            chain::verify(document, at, root, &self.cache, &self.signatures)?;
        if !verify_document(&leaf.point, document.payload_bytes(), document.signature(), &self.signatures) {
            return Err(Refusal::Signature);
        }
        Ok(Evidence::new(document.clone(), not_after))
    }

    /// The anchor this verifier starts from.
    pub fn anchor(&self) -> &TrustAnchor {
        &self.anchor
    }

    /// What is remembered, and what was verified so far.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats(self.signatures.get())
    }
}

impl Freshness {
    fn check(self, timestamp: UnixMillis, at: UnixMillis) -> Result<(), FreshnessRefusal> {
        match self {
            Self::Within { past, .. } if at.since(timestamp) > past => {
                Err(FreshnessRefusal::TooOld { timestamp, at, limit: past })
            }
            Self::Within { future, .. } if timestamp.since(at) > future => {
                Err(FreshnessRefusal::FromTheFuture { timestamp, at, limit: future })
            }
            Self::Within { .. } | Self::AtOwnTime => Ok(()),
        }
    }
}

impl Expected<'_> {
    fn check(self, field: BoundField, actual: Option<&[u8]>) -> Result<(), BindingRefusal> {
        let Self::Exactly(expected) = self else { return Ok(()) };
        match actual {
            Some(bytes) if verify_slices_are_equal(bytes, expected).is_ok() => Ok(()),
            _ => {
                Err(BindingRefusal { field, expected: expected.to_vec(), actual: actual.map(<[u8]>::to_vec) })
            }
        }
    }
}
