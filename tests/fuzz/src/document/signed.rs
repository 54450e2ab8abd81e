//! Documents that were signed, and what may never become of them.

use super::{check, readable, reread};
use crate::cbor;
use crate::edit::edits;
use crate::recipe::Recipe;
use countersign_verifier::{
    CacheCapacity, Expectations, Expected, Freshness, Refusal, TrustAnchor, UnixMillis, UnverifiedDocument,
    Verifier,
};
use std::collections::HashSet;
use std::sync::LazyLock;

/// Edits of a document that was signed: of the whole, of its payload (wrapped again, so that the change gets past the
/// reader), or of its signature.
pub fn mutated(bytes: &[u8]) {
    let mut recipe = Recipe::new(bytes);
    let base = recipe.pick(SIGNED);
    let part = recipe.pick(&[Part::Whole, Part::Payload, Part::Signature]);
    let mutant = edited(&mut recipe, base, part);
    let accepted =
        check(&mutant).is_some_and(|document| verify(&VERIFIER, &document, &at_own_time(AT)).is_ok());
    if mutant == base {
        assert!(accepted, "a document in order is refused");
    }
}

/// The part of a document that is edited.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Whole,
    Payload,
    Signature,
}

/// A document in which one part is edited.
pub(super) fn edited(recipe: &mut Recipe<'_>, base: &[u8], part: Part) -> Vec<u8> {
    let (mut before, mut signature) = (base.to_vec(), base[base.len() - SIGNATURE_BYTES..].to_vec());
    match part {
        Part::Whole => {
            edits(recipe, &mut before);
            before
        }
        Part::Signature => {
            before.truncate(base.len() - SIGNATURE_BYTES);
            edits(recipe, &mut signature);
            [before, signature].concat()
        }
        Part::Payload => {
            let mut payload = reread::payload(base).expect("a document in order").to_vec();
            edits(recipe, &mut payload);
            wrap(&payload, &signature)
        }
    }
}

/// COSE_Sign1 around a payload and a signature, in AWS's form.
fn wrap(payload: &[u8], signature: &[u8]) -> Vec<u8> {
    // A recipe without bytes breaks no rule.
    let mut recipe = Recipe::new(&[]);
    let mut out = vec![0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0];
    cbor::string(&mut recipe, &mut out, cbor::BYTES, payload);
    cbor::string(&mut recipe, &mut out, cbor::BYTES, signature);
    out
}

/// Under the root of the synthetic documents: whatever is accepted has a payload that was signed.
pub(super) fn never_accepts_what_was_not_signed(document: &UnverifiedDocument<'_>, bytes: &[u8]) {
    if verify(&VERIFIER, document, &at_own_time(AT)).is_ok() {
        let payload = reread::payload(bytes).expect("an accepted document has a payload");
        assert!(PAYLOADS.contains(payload), "accepted with a payload that was never signed");
    }
}

/// Verifies; a refusal must be readable, and the evidence must say what the document says.
pub(super) fn verify(
    verifier: &Verifier,
    document: &UnverifiedDocument<'_>,
    expectations: &Expectations<'_>,
) -> Result<(), Refusal> {
    let evidence = verifier.verify(document, expectations).inspect_err(readable)?;
    assert_eq!(evidence.pcrs(), document.pcrs());
    assert_eq!(evidence.module_id(), document.module_id());
    assert_eq!(evidence.timestamp(), document.timestamp());
    assert_eq!(evidence.public_key(), document.public_key());
    assert_eq!(evidence.user_data(), document.user_data());
    assert_eq!(evidence.nonce(), document.nonce());
    assert!(evidence.not_after() >= expectations.at, "evidence that has ended already");
    assert_eq!(evidence.chain().count(), document.cabundle().len() + 1);
    Ok(())
}

/// Expects nothing but that the document is genuine.
pub(super) fn at_own_time(at: UnixMillis) -> Expectations<'static> {
    Expectations {
        at,
        freshness: Freshness::AtOwnTime,
        nonce: Expected::Unchecked,
        public_key: Expected::Unchecked,
        user_data: Expected::Unchecked,
    }
}

/// A verifier that remembers, as in service: so a cached chain must not make a mutant pass either.
pub(super) fn verifier(root: &[u8]) -> Verifier {
    let anchor = TrustAnchor::danger_from_der(root).expect("a root of AWS's profile");
    Verifier::new(anchor, CacheCapacity::default())
}

/// The verifier of the synthetic documents.
static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| verifier(include_bytes!("../../fixtures/testroot.der")));

/// Every payload that a seed carries under a good signature.
static PAYLOADS: LazyLock<HashSet<&[u8]>> = LazyLock::new(|| {
    SIGNED.iter().map(|document| reread::payload(document).expect("a document in order")).collect()
});

const SIGNATURE_BYTES: usize = 96;

/// When the synthetic documents are valid.
pub(super) const AT: UnixMillis = UnixMillis::from_millis(1_795_297_611_000);

/// Synthetic documents that are accepted. A seed of this kind that is added to `seeds/` has to be added here as well.
pub(super) const SIGNED: &[&[u8]] = &[
    include_bytes!("../../seeds/document_raw/S00_baseline.cbor"),
    include_bytes!("../../seeds/document_raw/S00i_indef_payload.cbor"),
    include_bytes!("../../seeds/document_raw/E01_tag18.cbor"),
    include_bytes!("../../seeds/document_raw/P16_pcr_idx31.cbor"),
    include_bytes!("../../seeds/document_raw/P36_pk_0.cbor"),
    include_bytes!("../../seeds/document_raw/P44_indef_pcrs.cbor"),
    include_bytes!("../../seeds/document_raw/P55_debug_pcrs.cbor"),
    include_bytes!("../../seeds/document_raw/S35_leaf_by_root.cbor"),
];
