//! A valid document, broken in every place: none of what comes of it is accepted, and nothing panics.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod forge;

use common::{check, shared_documents, verdict};
use countersign_verifier::{CacheCapacity, Refusal, Stage, TrustAnchor, UnverifiedDocument, Verifier};
use forge::{Claims, Holder, NOW, Pki, document, payload, unchanged};
use std::collections::BTreeMap;

fn forged() -> (Verifier, Pki, Holder, Vec<u8>) {
    let pki = Pki::new();
    let leaf = pki.leaf(&unchanged);
    let claims = Claims { nonce: Some(vec![7; 32]), ..Claims::default() };
    let bytes = document(&claims, &leaf, &pki.bundle());
    // The certificates become known, so that a change that spares them reaches the document's own signature.
    let verifier = Verifier::new(pki.anchor(), CacheCapacity::default());
    assert_eq!(verdict(&check(&verifier, &bytes, NOW)), "accept");
    (verifier, pki, leaf, bytes)
}

#[test]
fn every_truncation_is_refused_as_syntax() {
    let (_, _, _, bytes) = forged();
    for end in 0..bytes.len() {
        let stage = UnverifiedDocument::parse(&bytes[..end]).map_err(|refusal| refusal.stage());
        assert_eq!(stage.err(), Some(Stage::Syntax), "the first {end} bytes");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let (verifier, _, _, bytes) = forged();
    let mut stages = BTreeMap::new();
    let mut broken = bytes.clone();
    for place in 0..bytes.len() {
        // Every bit would take minutes; one bit in each byte, each bit in every eighth.
        broken[place] = bytes[place] ^ (1 << (place % 8));
        match check(&verifier, &broken, NOW) {
            Ok(()) => panic!("bit {} of byte {place} does not matter", place % 8),
            Err(refusal) => *stages.entry(refusal.stage()).or_insert(0) += 1,
        }
        broken[place] = bytes[place];
    }
    // The flips reach every stage that bytes can fail at.
    assert_eq!(stages.into_keys().collect::<Vec<_>>(), [Stage::Syntax, Stage::Chain, Stage::Signature]);
    assert_eq!(
        (verifier.cache_stats().issuers, verifier.cache_stats().leaves),
        (3, 1),
        "nothing broken is remembered"
    );
}

#[test]
fn every_head_that_could_hide_something_is_refused() {
    let (verifier, _, _, bytes) = forged();
    let appended = |tail: &[u8]| verdict(&check(&verifier, &[&bytes, tail].concat(), NOW));
    assert_eq!(appended(&[0]), "syntax trailing-bytes");
    assert_eq!(appended(&bytes), "syntax trailing-bytes");
    let prefixed = |head: &[u8]| verdict(&check(&verifier, &[head, &bytes].concat(), NOW));
    assert_eq!(prefixed(&[0xd2]), "accept");
    assert_eq!(prefixed(&[0xd2, 0xd2]), "syntax unexpected-tag");
    assert_eq!(prefixed(&[0xd8, 0x12]), "syntax not-shortest-form");
    assert_eq!(prefixed(&[0xd9, 0xd9, 0xf7]), "syntax unexpected-tag");
    assert_eq!(prefixed(&[0x81]), "syntax count-out-of-range");
    // An outer array of untold length around the same four.
    let untold = [&[0x9f], &bytes[1..], &[0xff]].concat();
    assert_eq!(verdict(&check(&verifier, &untold, NOW)), "syntax indefinite-length");
}

#[test]
fn a_payload_signed_by_the_right_key_still_keeps_the_rules() {
    let (verifier, pki, leaf, _) = forged();
    let whole = payload(&Claims::default(), &leaf, &pki.bundle());
    let signed = |payload: &[u8]| verdict(&check(&verifier, &leaf.sign(payload), NOW));
    assert_eq!(signed(&whole), "accept");
    // The map is bf … ff; what stands before the break is one entry more.
    let with = |entry: &[u8]| signed(&[&whole[..whole.len() - 1], entry, &[0xff]].concat());
    assert_eq!(with(b"\x65nonce\xf6"), "syntax duplicate-key");
    assert_eq!(with(b"\x66digest\x66SHA384"), "syntax duplicate-key");
    assert_eq!(with(b"\x78\x05nonce\xf6"), "syntax not-shortest-form");
    assert_eq!(with(b"\x6dnitrotpm_pcrs\xa0"), "syntax nitrotpm-document");
    assert_eq!(with(b"\x60\xf6"), "syntax unknown-key");
    assert_eq!(with(b"\x65nonc\xc3\xf6"), "syntax not-utf8");
    assert_eq!(with(b"\x45nonce\xf6"), "syntax unexpected-type");
    assert_eq!(with(b"\x65nonce"), "syntax duplicate-key");
    assert_eq!(signed(&[&whole[..], &[0]].concat()), "syntax trailing-bytes");
    assert_eq!(signed(&whole[..whole.len() - 1]), "syntax truncated");
    assert_eq!(signed(&[0xa0]), "syntax missing-key");
    assert_eq!(signed(&[0xbf, 0xff]), "syntax missing-key");
    assert_eq!(signed(&[0xf6]), "syntax unexpected-type");
}

#[test]
fn pcrs_are_bounded_unique_and_complete() {
    let (verifier, pki, leaf, _) = forged();
    let with = |pcrs: Vec<(u64, [u8; 48])>| {
        let claims = Claims { pcrs, ..Claims::default() };
        verdict(&check(&verifier, &document(&claims, &leaf, &pki.bundle()), NOW))
    };
    let pcr = |index| (index, [1; 48]);
    assert_eq!(with((0..32).map(pcr).collect()), "accept");
    assert_eq!(with(vec![pcr(31), pcr(2), pcr(0), pcr(1)]), "accept");
    assert_eq!(with((0..33).map(pcr).collect()), "syntax count-out-of-range");
    assert_eq!(with(vec![pcr(0), pcr(1), pcr(2), pcr(32)]), "syntax pcr-index-out-of-range");
    assert_eq!(with(vec![pcr(0), pcr(1), pcr(2), pcr(1)]), "syntax duplicate-pcr");
    for missing in 0..3 {
        let pcrs = (0..16).filter(|&index| index != missing).map(pcr).collect();
        assert_eq!(with(pcrs), "syntax missing-pcr");
    }
}

#[test]
fn a_genuine_document_with_one_flipped_bit_is_refused() {
    let Some(folder) = shared_documents() else { return };
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("real")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let bytes = std::fs::read(files.last().unwrap()).unwrap();
    let at = UnverifiedDocument::parse(&bytes).unwrap().timestamp();
    let verifier = Verifier::new(TrustAnchor::aws(), CacheCapacity::default());
    assert_eq!(check(&verifier, &bytes, at), Ok::<(), Refusal>(()));
    let mut broken = bytes.clone();
    for place in (0..bytes.len()).step_by(3) {
        broken[place] = bytes[place] ^ 0x10;
        assert!(check(&verifier, &broken, at).is_err(), "byte {place} does not matter");
        broken[place] = bytes[place];
    }
}
