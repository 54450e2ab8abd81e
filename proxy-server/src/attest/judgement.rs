//! The single judgements of an admission, each without a side effect.

use countersign_protocol::{Lease, LeaseBounds, ProblemCode};
use countersign_verifier::{DebugMode, Evidence, Expectations, Expected, UnixMillis, UnverifiedDocument};

use crate::{
    policy::{Admitting, Policy},
    refusal::Refused,
    store::UnixMs,
};

/// Whether the PCRs a document *claims* could lead anywhere. Claims cost
/// nothing to make, so this only ever refuses.
pub(super) fn might_pass(policy: &Policy, document: &UnverifiedDocument<'_>) -> Result<(), Refused> {
    let pcrs = document.pcrs();
    if let Some(name) = policy.revocation(pcrs) {
        return Err(revoked(name));
    }
    if pcrs.is_debug() || !policy.knows_image(pcrs) {
        policy.references().appraise(pcrs, DebugMode::Refuse)?;
    }
    Ok(())
}

/// Nonce, key and binder are those of this connection. The verifier decides
/// this in constant time; here it only says whether a refusal is worth a row.
pub(super) fn answers(document: &UnverifiedDocument<'_>, expectations: &Expectations<'_>) -> bool {
    let Expectations { at: _, freshness: _, nonce, public_key, user_data } = expectations;
    let is =
        |actual: Option<&[u8]>, expected: &Expected<'_>| actual.map(Expected::Exactly) == Some(*expected);
    is(document.nonce(), nonce)
        && is(document.public_key(), public_key)
        && is(document.user_data(), user_data)
}

/// The measurement that evidence matches.
pub(super) fn appraise<'p>(policy: &'p Policy, evidence: &Evidence<'_>) -> Result<&'p Admitting, Refused> {
    if let Some(name) = policy.revocation(evidence.pcrs()) {
        return Err(revoked(name));
    }
    let measurement = policy.references().appraise(evidence.pcrs(), DebugMode::Refuse)?;
    policy.admitting(measurement.name()).ok_or_else(|| {
        Refused::because(
            ProblemCode::Internal,
            "try again",
            "the policy has a measurement without a workload",
        )
    })
}

/// The lease wished for, within the workload's bounds, and never beyond the
/// NSM's certificate.
pub(super) fn lease(
    bounds: LeaseBounds,
    wanted: Lease,
    not_after: UnixMillis,
    now: UnixMs,
) -> Result<Lease, Refused> {
    let wanted = bounds.clamp(wanted);
    let left = not_after.since(UnixMillis::from_millis(now.as_millis())).as_secs();
    match Lease::from_secs(left.min(wanted.as_secs())) {
        Ok(lease) if lease >= bounds.min() => Ok(lease),
        _ => Err(Refused::new(
            ProblemCode::EvidenceEndsSoon,
            format!(
                "the document's certificates end in {left} s, before the shortest lease of {} s: ask the NSM again",
                bounds.min().as_secs()
            ),
        )),
    }
}

pub(super) fn revoked(which: &str) -> Refused {
    Refused::because(ProblemCode::MeasurementRevoked, "the enclave's measurement was revoked", which)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_with_the_certificates_or_is_not_given() {
        let bounds = LeaseBounds::new(secs(40), secs(100)).unwrap();
        let at = |left: u64| UnixMillis::from_millis(1_000_000 + left * 1000);
        let now = UnixMs(1_000_000);
        assert_eq!(lease(bounds, secs(60), at(3600), now), Ok(secs(60)));
        assert_eq!(lease(bounds, secs(600), at(3600), now), Ok(secs(100)));
        assert_eq!(lease(bounds, secs(30), at(3600), now), Ok(secs(40)));
        assert_eq!(lease(bounds, secs(60), at(50), now), Ok(secs(50)));
        assert_eq!(lease(bounds, secs(60), at(40), now), Ok(secs(40)));
        for left in [39, 29, 0] {
            assert_eq!(
                lease(bounds, secs(60), at(left), now).unwrap_err().code(),
                "evidence-ends-soon",
                "{left}"
            );
        }
        let over = UnixMillis::from_millis(1);
        assert_eq!(lease(bounds, secs(60), over, now).unwrap_err().code(), "evidence-ends-soon");
    }

    fn secs(seconds: u64) -> Lease {
        Lease::from_secs(seconds).unwrap()
    }
}
