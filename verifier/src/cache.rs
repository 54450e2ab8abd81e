//! Remembered certificates: each was verified once, under its issuer's name and key, and need not be again until it ends.
//!
//! What is remembered is that a signature holds, and what the certificate says. Its place in the chain and the time are
//! checked at every use. Only certificates with a verified path to the anchor enter, so nobody but AWS can fill it.

mod shelf;

use crate::certificate::POINT_BYTES;
use crate::chain::Terms;
use crate::crypto::IssuerKey;
use crate::time::UnixMillis;
use aws_lc_rs::digest::{Context, SHA256};
use shelf::Shelf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// How many certificates a [`Verifier`](crate::Verifier) remembers. When one more comes, the one that ends first goes.
///
/// Issuers and leaves have room of their own, so that many enclaves on one side cannot crowd out the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheCapacity {
    /// Regional, zonal and instance certificates; about 1.5 KiB each.
    pub issuers: usize,
    /// Signers of documents, one for each enclave in 3 hours; about 350 bytes each.
    pub leaves: usize,
}

impl CacheCapacity {
    /// Remembers nothing: each document costs every verification.
    pub const NONE: Self = Self { issuers: 0, leaves: 0 };
}

impl Default for CacheCapacity {
    /// 4,096 issuers and 65,536 leaves: at most some 30 MiB.
    fn default() -> Self {
        Self { issuers: 4_096, leaves: 65_536 }
    }
}

/// What a verifier's cache has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Issuers remembered now.
    pub issuers: usize,
    /// Leaves remembered now.
    pub leaves: usize,
    /// Certificates that were asked for and known.
    pub hits: u64,
    /// Certificates that were asked for and not known.
    pub misses: u64,
    /// P-384 verifications made: of certificates that were not known, and one for each document.
    pub signature_verifications: u64,
}

/// A certificate authority whose certificate was verified.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) terms: Terms,
    /// Its subject, which the certificates it issues name as their issuer.
    pub(crate) name: Box<[u8]>,
    pub(crate) key: IssuerKey,
}

/// A document's signer whose certificate was verified. The key stays a point: a parsed one would take
/// several times the memory, and parsing takes two microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf {
    pub(crate) terms: Terms,
    pub(crate) point: [u8; POINT_BYTES],
}

/// SHA-256 of the issuer's name and key and of the certificate: the same for no other certificate or issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CertificateId([u8; 32]);

impl CertificateId {
    pub(crate) fn of(issuer: &Issuer, der: &[u8]) -> Self {
        // A name is one DER element and a point has one length, so no two triples run together into the same bytes.
        let mut context = Context::new(&SHA256);
        context.update(&issuer.name);
        context.update(issuer.key.point());
        context.update(der);
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        Self(id)
    }
}

/// The two shelves behind their locks, which are held for one look-up or one insertion.
#[derive(Debug)]
pub(crate) struct Cache {
    issuers: RwLock<Shelf<Arc<Issuer>>>,
    leaves: RwLock<Shelf<Leaf>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Cache {
    pub(crate) fn new(capacity: CacheCapacity) -> Self {
        Self {
            issuers: RwLock::new(Shelf::new(capacity.issuers)),
            leaves: RwLock::new(Shelf::new(capacity.leaves)),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(crate) fn issuer(&self, id: &CertificateId, at: UnixMillis) -> Option<Arc<Issuer>> {
        self.counted(self.issuers.read().unwrap_or_else(PoisonError::into_inner).get(id, at).cloned())
    }

    pub(crate) fn leaf(&self, id: &CertificateId, at: UnixMillis) -> Option<Leaf> {
        self.counted(self.leaves.read().unwrap_or_else(PoisonError::into_inner).get(id, at).copied())
    }

    /// The certificate's signature must have been verified, under an issuer that was.
    pub(crate) fn remember_issuer(&self, id: CertificateId, issuer: &Arc<Issuer>, at: UnixMillis) {
        let end = issuer.terms.validity.not_after;
        self.issuers.write().unwrap_or_else(PoisonError::into_inner).insert(id, end, Arc::clone(issuer), at);
    }

    /// The certificate's signature must have been verified, under an issuer that was.
    pub(crate) fn remember_leaf(&self, id: CertificateId, leaf: &Leaf, at: UnixMillis) {
        self.leaves.write().unwrap_or_else(PoisonError::into_inner).insert(
            id,
            leaf.terms.validity.not_after,
            *leaf,
            at,
        );
    }

    pub(crate) fn stats(&self, signature_verifications: u64) -> CacheStats {
        CacheStats {
            issuers: self.issuers.read().unwrap_or_else(PoisonError::into_inner).len(),
            leaves: self.leaves.read().unwrap_or_else(PoisonError::into_inner).len(),
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            signature_verifications,
        }
    }

    fn counted<T>(&self, found: Option<T>) -> Option<T> {
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }
}
