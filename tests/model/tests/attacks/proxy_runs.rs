//! How an enclave that attests to the proxy would be attacked, in the fewest steps.

use countersign_model::{
    Part::*,
    exchange::{Breach, Party, Setting},
};

use crate::claims::assert_attack;

#[test]
fn without_measurements_an_image_that_is_not_allowed_passes() {
    assert_attack(
        &Setting::proxy(),
        Breach::Stranger,
        &[Measurement],
        &["c1: M -> P", "P asks n1 on c1", "P takes M's own document for n1 on c1, unchecked: measurement"],
    );
}

#[test]
fn without_signatures_anything_passes() {
    assert_attack(
        &Setting::proxy(),
        Breach::Stranger,
        &[Signature],
        &["c1: M -> P", "P asks n1 on c1", "P takes M's own document for n1 on c1, unchecked: signature"],
    );
}

#[test]
fn without_the_anchor_an_enclave_talks_to_anybody() {
    assert_attack(
        &Setting::proxy(),
        Breach::FalseProxy,
        &[Anchor],
        &["c1: A (attests) -> M", "A answers M's own nonce on c1: d1"],
    );
}

#[test]
fn replay_with_a_key_of_the_attackers() {
    assert_attack(
        &Setting::proxy(),
        Breach::Impostor,
        &[Nonce, PublicKey, AttesterKey, Exporter],
        &[
            "c1: A (attests) -> P",
            "c2: M -> P",
            "P asks n1 on c1",
            "P asks n2 on c2",
            "A answers n1 on c1: d1",
            "P takes d1 for n2 on c2, unchecked: nonce + public_key + SPKI(K) + exporter",
        ],
    );
}

#[test]
fn replay_with_a_stolen_key() {
    assert_attack(
        &Setting::proxy().with_leaked(&[Party::A]),
        Breach::Impostor,
        &[Nonce, Exporter],
        &[
            "c1: A (attests) -> P",
            "c2: M with A's key -> P",
            "P asks n1 on c1",
            "P asks n2 on c2",
            "A answers n1 on c1: d1",
            "P takes d1 for n2 on c2, unchecked: nonce + exporter",
        ],
    );
}

/// A late answer on a connection that is honest at both ends: no attacker is needed but one who delays.
#[test]
fn a_stale_document_on_the_same_connection() {
    assert_attack(
        &Setting::proxy(),
        Breach::Stale,
        &[Nonce, Context],
        &[
            "c1: A (attests) -> P",
            "P asks n1 on c1",
            "A answers n1 on c1: d1",
            "P asks n2 on c1",
            "P takes d1 for n2 on c1, unchecked: nonce + exporter-context",
        ],
    );
}

#[test]
fn relay_and_key_substitution_through_a_false_proxy() {
    let removed = [Anchor, PublicKey, AttesterKey, ServerKey, Exporter];
    assert_attack(
        &Setting::proxy(),
        Breach::Impostor,
        &removed,
        &[
            "c1: A (attests) -> M",
            "c2: M -> P",
            "P asks n1 on c2",
            "A answers n1 on c1: d1",
            "P takes d1 for n1 on c2, unchecked: public_key + SPKI(K) + SPKI(server) + exporter",
        ],
    );
}

#[test]
fn relay_with_a_stolen_key() {
    let setting = Setting::proxy().with_leaked(&[Party::A]);
    assert_attack(
        &setting,
        Breach::Impostor,
        &[Anchor, ServerKey, Exporter],
        &[
            "c1: A (attests) -> M",
            "c2: M with A's key -> P",
            "P asks n1 on c2",
            "A answers n1 on c1: d1",
            "P takes d1 for n1 on c2, unchecked: SPKI(server) + exporter",
        ],
    );
}

/// Both keys of the connection in the wrong hands: all keys in the document match. Only the connection does not.
#[test]
fn relay_with_both_keys_stolen() {
    let setting = Setting::proxy().with_leaked(&[Party::A, Party::P]);
    assert_attack(
        &setting,
        Breach::Impostor,
        &[Exporter],
        &[
            "c1: A (attests) -> M with P's key",
            "c2: M with A's key -> P",
            "P asks n1 on c2",
            "A answers n1 on c1: d1",
            "P takes d1 for n1 on c2, unchecked: exporter",
        ],
    );
}

#[test]
fn one_document_for_two_sessions() {
    let setting = Setting::proxy().with_leaked(&[Party::A]);
    assert_attack(
        &setting,
        Breach::Twice,
        &[Nonce, Exporter, Sequence],
        &[
            "c1: A (attests) -> P",
            "c2: M with A's key -> P",
            "P asks n1 on c1",
            "P asks n2 on c2",
            "A answers n1 on c1: d1",
            "P takes d1 for n1 on c1",
            "P takes d1 for n2 on c2, unchecked: nonce + exporter + sequence",
        ],
    );
}

#[test]
fn one_challenge_for_two_answers() {
    let setting = Setting::proxy().with_leaked(&[Party::A, Party::P]);
    assert_attack(
        &setting,
        Breach::Twice,
        &[OneUse, Exporter, Sequence],
        &[
            "c1: A (attests) -> M with P's key",
            "c2: M with A's key -> P",
            "P asks n1 on c2",
            "A answers n1 on c1: d1",
            "P takes d1 for n1 on c2, unchecked: exporter",
            "P takes d1 for n1 on c2, unchecked: one-use + exporter + sequence",
        ],
    );
}
