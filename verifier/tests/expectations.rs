//! What the caller expects: time, nonce, key and user data. All of it is checked before any cryptography.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod forge;

use common::at_own_time;
use countersign_verifier::{
    BindingRefusal, BoundField, CacheCapacity, Expectations, Expected, Freshness, FreshnessRefusal, Refusal,
    UnixMillis, UnverifiedDocument, Verifier,
};
use forge::{Claims, NOW, Pki, document, unchanged};
use std::time::Duration;

const FRESH: Freshness =
    Freshness::Within { past: Duration::from_secs(60), future: Duration::from_millis(5_000) };

/// The refusal, and how many signatures it cost.
fn refusal(claims: &Claims, expectations: Expectations<'_>) -> (Option<Refusal>, u64) {
    let pki = Pki::new();
    let verifier = Verifier::new(pki.anchor(), CacheCapacity::NONE);
    let bytes = document(claims, &pki.leaf(&unchanged), &pki.bundle());
    let document = UnverifiedDocument::parse(&bytes).unwrap();
    let refusal = verifier.verify(&document, &expectations).err();
    (refusal, verifier.cache_stats().signature_verifications)
}

#[test]
fn a_document_is_fresh_within_both_spans_and_not_a_millisecond_beyond() {
    let now = NOW.as_millis();
    let at_age = |timestamp: u64| {
        let claims = Claims { timestamp, ..Claims::default() };
        refusal(&claims, Expectations { freshness: FRESH, ..at_own_time(NOW) })
    };
    assert_eq!(at_age(now), (None, 5));
    assert_eq!(at_age(now - 60_000), (None, 5));
    assert_eq!(at_age(now + 5_000), (None, 5));

    let timestamp = UnixMillis::from_millis(now - 60_001);
    let too_old = FreshnessRefusal::TooOld { timestamp, at: NOW, limit: Duration::from_secs(60) };
    assert_eq!(at_age(now - 60_001), (Some(Refusal::Freshness(too_old)), 0));
    let timestamp = UnixMillis::from_millis(now + 5_001);
    let early = FreshnessRefusal::FromTheFuture { timestamp, at: NOW, limit: Duration::from_secs(5) };
    assert_eq!(at_age(now + 5_001), (Some(Refusal::Freshness(early)), 0));
    assert_eq!(at_age(u64::MAX).0.unwrap().code(), "document-from-the-future");
    assert_eq!(at_age(1).0.unwrap().code(), "document-too-old");
}

#[test]
fn at_its_own_time_a_document_still_lies_within_its_leaf() {
    for timestamp in [NOW.as_millis() - 1_800_001, NOW.as_millis() + 3 * 3_600_000 + 1] {
        let claims = Claims { timestamp, ..Claims::default() };
        let (refusal, cost) = refusal(&claims, at_own_time(NOW));
        assert_eq!((refusal.unwrap().code(), cost), ("timestamp-outside-leaf", 0));
    }
}

#[test]
fn every_bound_field_must_be_the_callers() {
    type Set = fn(&mut Claims, Option<Vec<u8>>);
    type Expect = for<'a> fn(&mut Expectations<'a>, Expected<'a>);
    let fields: [(BoundField, Set, Expect, [&str; 2]); 3] = [
        (BoundField::Nonce, |c, v| c.nonce = v, |e, x| e.nonce = x, ["nonce-mismatch", "nonce-missing"]),
        (
            BoundField::PublicKey,
            |c, v| c.public_key = v,
            |e, x| e.public_key = x,
            ["public-key-mismatch", "public-key-missing"],
        ),
        (
            BoundField::UserData,
            |c, v| c.user_data = v,
            |e, x| e.user_data = x,
            ["user-data-mismatch", "user-data-missing"],
        ),
    ];
    for (field, set, expect, [mismatch, missing]) in fields {
        let verdict = |actual: Option<&[u8]>, expected: Expected<'_>| {
            let mut claims = Claims::default();
            set(&mut claims, actual.map(<[u8]>::to_vec));
            let mut expectations = at_own_time(NOW);
            expect(&mut expectations, expected);
            refusal(&claims, expectations)
        };
        let refused = |actual: Option<&[u8]>, expected: &[u8]| {
            let (actual, expected) = (actual.map(<[u8]>::to_vec), expected.to_vec());
            (Some(Refusal::Binding(BindingRefusal { field, expected, actual })), 0)
        };
        assert_eq!(verdict(Some(b"right"), Expected::Exactly(b"right")), (None, 5));
        assert_eq!(verdict(Some(b"right"), Expected::Unchecked), (None, 5));
        assert_eq!(verdict(None, Expected::Unchecked), (None, 5));
        assert_eq!(verdict(Some(b""), Expected::Exactly(b"")), (None, 5));
        for (actual, expected) in [
            (&b"wrong"[..], &b"right"[..]),
            (b"righ", b"right"),
            (b"right", b"righ"),
            (b"", b"right"),
            (b"r", b""),
        ] {
            assert_eq!(verdict(Some(actual), Expected::Exactly(expected)), refused(Some(actual), expected));
        }
        // An absence is not an empty value.
        assert_eq!(verdict(None, Expected::Exactly(b"")), refused(None, b""));
        assert_eq!(verdict(Some(b"x"), Expected::Exactly(b"y")).0.unwrap().code(), mismatch);
        assert_eq!(verdict(None, Expected::Exactly(b"y")).0.unwrap().code(), missing);
    }
}
