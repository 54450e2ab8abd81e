//! What a document costs in P-384 verifications, and that nothing unverified makes the next one cheaper.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod forge;

use common::{check, verdict};
use countersign_verifier::{CacheCapacity, CacheStats, UnixMillis, Verifier};
use forge::{Claims, NOW, Pki, document, unchanged};

const ROOM: CacheCapacity = CacheCapacity { issuers: 8, leaves: 8 };

/// How many verifications one document costs, and the verdict.
fn cost(verifier: &Verifier, bytes: &[u8], at: UnixMillis) -> (u64, String) {
    let before = verifier.cache_stats().signature_verifications;
    let verdict = verdict(&check(verifier, bytes, at));
    (verifier.cache_stats().signature_verifications - before, verdict)
}

fn accepted(cost: u64) -> (u64, String) {
    (cost, "accept".to_owned())
}

#[test]
fn five_cold_two_for_a_new_leaf_one_when_known() {
    let pki = Pki::new();
    let verifier = Verifier::new(pki.anchor(), ROOM);
    let (first, second) = (pki.leaf(&unchanged), pki.leaf(&unchanged));
    let claims = Claims::default();
    assert_eq!(cost(&verifier, &document(&claims, &first, &pki.bundle()), NOW), accepted(5));
    assert_eq!(cost(&verifier, &document(&claims, &first, &pki.bundle()), NOW), accepted(1));
    assert_eq!(cost(&verifier, &document(&claims, &second, &pki.bundle()), NOW), accepted(2));
    assert_eq!(cost(&verifier, &document(&claims, &second, &pki.bundle()), NOW), accepted(1));
    let CacheStats { issuers, leaves, hits, misses, signature_verifications } = verifier.cache_stats();
    assert_eq!((issuers, leaves, hits, misses, signature_verifications), (3, 2, 11, 5, 9));
}

#[test]
fn without_room_every_document_costs_all() {
    let pki = Pki::new();
    let verifier = Verifier::new(pki.anchor(), CacheCapacity::NONE);
    let bytes = document(&Claims::default(), &pki.leaf(&unchanged), &pki.bundle());
    assert_eq!(cost(&verifier, &bytes, NOW), accepted(5));
    assert_eq!(cost(&verifier, &bytes, NOW), accepted(5));
    assert_eq!((verifier.cache_stats().issuers, verifier.cache_stats().leaves), (0, 0));
}

#[test]
fn the_cache_is_bounded() {
    let pki = Pki::new();
    let verifier = Verifier::new(pki.anchor(), CacheCapacity { issuers: 2, leaves: 3 });
    for _ in 0..10 {
        let bytes = document(&Claims::default(), &pki.leaf(&unchanged), &pki.bundle());
        assert_eq!(verdict(&check(&verifier, &bytes, NOW)), "accept");
    }
    assert_eq!((verifier.cache_stats().issuers, verifier.cache_stats().leaves), (2, 3));
}

#[test]
fn what_does_not_verify_is_not_remembered() {
    let pki = Pki::new();
    let stranger = Pki::new();
    let verifier = Verifier::new(pki.anchor(), ROOM);

    // Our root, and below it the chain of another: the names fit, the first signature does not.
    let mut bundle = stranger.bundle();
    bundle[0] = &pki.issuers[0].der;
    let bytes = document(&Claims::default(), &stranger.leaf(&unchanged), &bundle);
    for _ in 0..2 {
        assert_eq!(cost(&verifier, &bytes, NOW), (1, "chain certificate-signature".to_owned()));
    }
    // The chain of ours, and a leaf of the stranger's instance.
    let bytes = document(&Claims::default(), &stranger.leaf(&unchanged), &pki.bundle());
    assert_eq!(cost(&verifier, &bytes, NOW), (4, "chain certificate-signature".to_owned()));
    assert_eq!(cost(&verifier, &bytes, NOW), (1, "chain certificate-signature".to_owned()));
    assert_eq!((verifier.cache_stats().issuers, verifier.cache_stats().leaves), (3, 0));
}

#[test]
fn a_known_leaf_under_another_issuer_of_the_same_name_is_not_known() {
    let (pki, other) = (Pki::new(), Pki::new());
    let verifier = Verifier::new(pki.anchor(), ROOM);
    let leaf = pki.leaf(&unchanged);
    assert_eq!(cost(&verifier, &document(&Claims::default(), &leaf, &pki.bundle()), NOW), accepted(5));
    // Same names all the way, but the instance's key is another's.
    let mut bundle = pki.bundle();
    bundle[3] = &other.issuers[3].der;
    let bytes = document(&Claims::default(), &leaf, &bundle);
    assert_eq!(cost(&verifier, &bytes, NOW), (1, "chain certificate-signature".to_owned()));
}

#[test]
fn what_is_known_still_has_to_be_in_its_place_and_time() {
    let pki = Pki::new();
    let verifier = Verifier::new(pki.anchor(), ROOM);
    let leaf = pki.leaf(&unchanged);
    let bytes = document(&Claims::default(), &leaf, &pki.bundle());
    assert_eq!(cost(&verifier, &bytes, NOW), accepted(5));

    let three_hours = NOW.as_millis() + 3 * 3_600_000;
    assert_eq!(cost(&verifier, &bytes, UnixMillis::from_millis(three_hours)), accepted(1));
    let late = UnixMillis::from_millis(three_hours + 1);
    assert_eq!(cost(&verifier, &bytes, late), (0, "chain certificate-expired".to_owned()));

    // A known leaf as an issuer, and a known issuer as a leaf.
    let mut bundle = pki.bundle();
    bundle.push(&leaf.der);
    let bytes = document(&Claims::default(), &leaf, &bundle);
    assert_eq!(cost(&verifier, &bytes, NOW), (0, "chain issuer-not-a-ca".to_owned()));
    let bytes = document(&Claims::default(), &pki.issuers[3], &pki.bundle()[..3]);
    assert_eq!(cost(&verifier, &bytes, NOW), (0, "chain leaf-is-a-ca".to_owned()));
}

#[test]
fn junk_costs_no_signature() {
    let pki = Pki::new();
    let verifier = Verifier::new(pki.anchor(), ROOM);
    let leaf = pki.leaf(&|params| params.key_usages.clear());
    let bytes = document(&Claims::default(), &leaf, &pki.bundle());
    assert_eq!(cost(&verifier, &bytes, NOW), (0, "chain leaf-key-usage".to_owned()));
    assert_eq!(cost(&verifier, &bytes[1..], NOW), (0, "syntax unexpected-type".to_owned()));
}

#[test]
fn one_verifier_serves_many_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let pki = Pki::new();
    let verifier = Verifier::new(pki.anchor(), ROOM);
    shared(&verifier);
    let bytes = document(&Claims::default(), &pki.leaf(&unchanged), &pki.bundle());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope
                .spawn(|| (0..8).for_each(|_| assert_eq!(verdict(&check(&verifier, &bytes, NOW)), "accept")));
        }
    });
    assert_eq!((verifier.cache_stats().issuers, verifier.cache_stats().leaves), (3, 1));
}
