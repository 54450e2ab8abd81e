//! From the trust anchor to the signer of a document, in the order the document gives (RFC 5280 section 6.1).
//!
//! ```text
//! anchor == cabundle[0] ── cabundle[1] ── … ── cabundle[n] ── certificate ── COSE signature
//! ```
//!
//! First every certificate is found in the cache or read, and all that costs no cryptography is checked: names, times,
//! places. Only then the missing signatures are verified, from the root downwards, so that junk costs at most one.

use crate::cache::{Cache, CertificateId, Issuer, Leaf};
use crate::certificate::{BasicConstraints, Criticality, KeyUsage, Subject, UnverifiedCertificate, Validity};
use crate::crypto::{IssuerKey, SignatureCount};
use crate::document::UnverifiedDocument;
use crate::refusal::{CertificateFault, ChainRefusal, Position};
use crate::time::UnixMillis;
use std::sync::Arc;

/// A chain that holds: the signer, and when the first certificate of it ends.
pub(crate) struct VerifiedChain {
    pub(crate) leaf: Leaf,
    pub(crate) not_after: UnixMillis,
}

/// What a certificate permits, apart from its key: checked again at each use, since it depends on place and time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) validity: Validity,
    pub(crate) basic_constraints: Option<BasicConstraints>,
    pub(crate) key_usage: Option<KeyUsage>,
}

/// A certificate on its way: known already, or read just now with its signature still to be verified.
struct Link<'a, T> {
    certificate: T,
    pending: Option<Pending<'a>>,
}

struct Pending<'a> {
    id: CertificateId,
    signed: &'a [u8],
    signature: &'a [u8],
}

/// Verifies the document's chain at one moment.
pub(crate) fn verify(
    document: &UnverifiedDocument<'_>,
    at: UnixMillis,
    root: &Arc<Issuer>,
    cache: &Cache,
    count: &SignatureCount,
) -> Result<VerifiedChain, ChainRefusal> {
    let intermediates = document.cabundle().get(1..).unwrap_or_default();
    root.terms.check_issuer(Position::CaBundle(0), at)?;

    let mut issuers: Vec<Link<'_, Arc<Issuer>>> = Vec::with_capacity(intermediates.len());
    let mut issuer = root;
    let mut not_after = root.terms.validity.not_after;
    for (index, der) in intermediates.iter().enumerate() {
        let position = Position::CaBundle(index + 1);
        let link = find_issuer(der, issuer, position, cache, at)?;
        link.certificate.terms.check_issuer(position, at)?;
        not_after = not_after.min(link.certificate.terms.validity.not_after);
        issuers.push(link);
        issuer = issuers.last().map_or(root, |last| &last.certificate);
    }
    let leaf = find_leaf(document.certificate(), issuer, cache, at)?;
    leaf.certificate.terms.check_leaf(at, document.timestamp())?;
    not_after = not_after.min(leaf.certificate.terms.validity.not_after);

    check_path_lengths(root, &issuers)?;

    let mut issuer = root;
    for (index, link) in issuers.iter().enumerate() {
        if let Some(pending) = &link.pending {
            pending.verify(&issuer.key, Position::CaBundle(index + 1), count)?;
            cache.remember_issuer(pending.id, &link.certificate, at);
        }
        issuer = &link.certificate;
    }
    if let Some(pending) = &leaf.pending {
        pending.verify(&issuer.key, Position::Leaf, count)?;
        cache.remember_leaf(pending.id, &leaf.certificate, at);
    }
    Ok(VerifiedChain { leaf: leaf.certificate, not_after })
}

/// The trust anchor as an issuer. Nobody signs an anchor: it is compared, and its own signature means nothing.
pub(crate) fn anchor(der: &[u8]) -> Result<Arc<Issuer>, ChainRefusal> {
    let unusable = |fault| ChainRefusal::UnusableAnchor { fault };
    let certificate = UnverifiedCertificate::parse(der).map_err(unusable)?;
    new_issuer(&certificate).map(Arc::new).map_err(unusable)
}

/// RFC 5280 section 6.1.4 (l) and (m); there are no self-issued certificates to leave out.
fn check_path_lengths(root: &Issuer, issuers: &[Link<'_, Arc<Issuer>>]) -> Result<(), ChainRefusal> {
    let path = [root].into_iter().chain(issuers.iter().map(|link| &*link.certificate));
    for (index, issuer) in path.enumerate() {
        let below = issuers.len() - index;
        let limit = match issuer.terms.basic_constraints {
            Some(BasicConstraints { subject: Subject::Issuer { path_length }, .. }) => path_length,
            _ => None,
        };
        if let Some(limit) = limit.filter(|&limit| below as u64 > limit) {
            return Err(ChainRefusal::PathTooLong { position: Position::CaBundle(index), limit, below });
        }
    }
    Ok(())
}

fn find_issuer<'a>(
    der: &'a [u8],
    issuer: &Issuer,
    position: Position,
    cache: &Cache,
    at: UnixMillis,
) -> Result<Link<'a, Arc<Issuer>>, ChainRefusal> {
    let id = CertificateId::of(issuer, der);
    if let Some(certificate) = cache.issuer(&id, at) {
        return Ok(Link { certificate, pending: None });
    }
    let (certificate, pending) = read(der, id, issuer, position)?;
    // RFC 5280 lets an issuer certify itself again; in a path of AWS's that would only be padding.
    if certificate.issuer == certificate.subject {
        return Err(ChainRefusal::SelfIssued { position });
    }
    let fresh = new_issuer(&certificate).map_err(|fault| ChainRefusal::Malformed { position, fault })?;
    Ok(Link { certificate: Arc::new(fresh), pending: Some(pending) })
}

fn find_leaf<'a>(
    der: &'a [u8],
    issuer: &Issuer,
    cache: &Cache,
    at: UnixMillis,
) -> Result<Link<'a, Leaf>, ChainRefusal> {
    let id = CertificateId::of(issuer, der);
    if let Some(certificate) = cache.leaf(&id, at) {
        return Ok(Link { certificate, pending: None });
    }
    let (certificate, pending) = read(der, id, issuer, Position::Leaf)?;
    let leaf = Leaf { terms: Terms::of(&certificate), point: *certificate.point };
    Ok(Link { certificate: leaf, pending: Some(pending) })
}

fn read<'a>(
    der: &'a [u8],
    id: CertificateId,
    issuer: &Issuer,
    position: Position,
) -> Result<(UnverifiedCertificate<'a>, Pending<'a>), ChainRefusal> {
    let certificate =
        UnverifiedCertificate::parse(der).map_err(|fault| ChainRefusal::Malformed { position, fault })?;
    if certificate.issuer != &*issuer.name {
        return Err(ChainRefusal::NameMismatch { position });
    }
    let pending = Pending { id, signed: certificate.signed, signature: certificate.signature };
    Ok((certificate, pending))
}

fn new_issuer(certificate: &UnverifiedCertificate<'_>) -> Result<Issuer, CertificateFault> {
    let key = IssuerKey::new(certificate.point).ok_or(CertificateFault::PublicKey)?;
    Ok(Issuer { terms: Terms::of(certificate), name: certificate.subject.into(), key })
}

impl Pending<'_> {
    fn verify(
        &self,
        key: &IssuerKey,
        position: Position,
        count: &SignatureCount,
    ) -> Result<(), ChainRefusal> {
        if key.verify(self.signed, self.signature, count) {
            Ok(())
        } else {
            Err(ChainRefusal::Signature { position })
        }
    }
}

impl Terms {
    fn of(certificate: &UnverifiedCertificate<'_>) -> Self {
        let UnverifiedCertificate { validity, basic_constraints, key_usage, .. } = *certificate;
        Self { validity, basic_constraints, key_usage }
    }

    /// RFC 5280 section 6.1.4 (k) and (n); the path's length is checked once all of it is known.
    fn check_issuer(&self, position: Position, at: UnixMillis) -> Result<(), ChainRefusal> {
        self.check_time(position, at)?;
        let is_ca = matches!(
            self.basic_constraints,
            Some(BasicConstraints { subject: Subject::Issuer { .. }, criticality: Criticality::Critical })
        );
        if !is_ca {
            return Err(ChainRefusal::NotACa { position });
        }
        if self.key_usage.is_some_and(KeyUsage::key_cert_sign) {
            Ok(())
        } else {
            Err(ChainRefusal::MayNotSignCertificates { position })
        }
    }

    /// The signer of a document: no CA, allowed to sign, and valid both now and when it signed.
    fn check_leaf(&self, at: UnixMillis, timestamp: UnixMillis) -> Result<(), ChainRefusal> {
        self.check_time(Position::Leaf, at)?;
        if !matches!(self.basic_constraints, Some(BasicConstraints { subject: Subject::EndEntity, .. })) {
            return Err(ChainRefusal::LeafIsCa);
        }
        if !self.key_usage.is_some_and(KeyUsage::digital_signature) {
            return Err(ChainRefusal::LeafMayNotSign);
        }
        let Validity { not_before, not_after } = self.validity;
        if (not_before..=not_after).contains(&timestamp) {
            Ok(())
        } else {
            Err(ChainRefusal::TimestampOutsideLeaf { timestamp, not_before, not_after })
        }
    }

    fn check_time(&self, position: Position, at: UnixMillis) -> Result<(), ChainRefusal> {
        let Validity { not_before, not_after } = self.validity;
        if at < not_before {
            return Err(ChainRefusal::NotYetValid { position, not_before, at });
        }
        if at > not_after {
            return Err(ChainRefusal::Expired { position, not_after, at });
        }
        Ok(())
    }
}
