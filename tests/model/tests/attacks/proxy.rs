//! An enclave attests to the proxy.

use countersign_model::{
    Part::{self, *},
    exchange::{Bounds, Breach, Party, Setting},
};

use crate::claims::{
    assert_attack, assert_goal, assert_holds, assert_leaves_open, assert_redundant, assert_table,
};

#[test]
fn with_everything_checked_nothing_is_reached() {
    assert_holds("proxy", &Setting::proxy());
    assert_holds("proxy, further", &Setting::proxy().within(FURTHER));
    let stolen = Setting::proxy().with_leaked(&[Party::A]);
    assert_holds("proxy, the enclave's key leaked", &stolen);
    assert_holds("proxy, the enclave's key leaked, further", &stolen.within(FURTHER));
    assert_holds("proxy and peers with one key", &Setting::one_key());
    assert_holds("proxy and peers with one key, leaked", &Setting::one_key().with_leaked(&[Party::A]));
}

#[test]
fn an_honest_enclave_is_admitted() {
    assert_goal(
        &Setting::proxy(),
        &["c1: A (attests) -> P", "P asks n1 on c1", "A answers n1 on c1: d1", "P takes d1 for n1 on c1"],
    );
}

/// Who holds the proxy's server key is the proxy to every enclave. Even so he gets nobody into the real one.
#[test]
fn a_leaked_server_key_makes_a_false_proxy_and_nothing_else() {
    for leaked in [&[Party::P][..], &[Party::A, Party::P]] {
        let setting = Setting::proxy().with_leaked(leaked);
        assert_leaves_open("proxy, its own key leaked", &setting, &[Breach::FalseProxy]);
        assert_leaves_open("the same, further", &setting.within(FURTHER), &[Breach::FalseProxy]);
    }
}

#[test]
fn all_attacks_while_keys_are_secret() {
    assert_table(
        "proxy",
        &Setting::proxy(),
        &[
            (Breach::Stranger, &["signature", "measurement"]),
            (
                Breach::Impostor,
                &[
                    "nonce + public_key + SPKI(K) + exporter",
                    "anchor + public_key + SPKI(K) + SPKI(server) + exporter",
                ],
            ),
            (Breach::OtherChallenge, &["nonce + exporter", "nonce + exporter-context"]),
            (Breach::Stale, &["nonce + exporter", "nonce + exporter-context"]),
            (
                Breach::Twice,
                &[
                    "nonce + public_key + SPKI(K) + exporter",
                    "anchor + one-use + public_key + SPKI(K) + SPKI(server) + exporter + sequence",
                ],
            ),
            (Breach::FalseProxy, &["anchor"]),
        ],
    );
}

/// Nothing that binds a document to K counts any more: the family of CVE-2026-33697.
#[test]
fn all_attacks_with_the_enclaves_key() {
    assert_table(
        "proxy, the enclave's key leaked",
        &Setting::proxy().with_leaked(&[Party::A]),
        &[
            (Breach::Stranger, &["signature", "measurement"]),
            (Breach::Impostor, &["nonce + exporter", "anchor + SPKI(server) + exporter"]),
            (Breach::OtherChallenge, &["nonce + exporter", "nonce + exporter-context"]),
            (Breach::Stale, &["nonce + exporter", "nonce + exporter-context"]),
            (
                Breach::Twice,
                &[
                    "nonce + exporter + sequence",
                    "nonce + public_key + SPKI(K) + exporter",
                    "anchor + one-use + SPKI(server) + exporter + sequence",
                ],
            ),
            (Breach::FalseProxy, &["anchor"]),
        ],
    );
}

/// The exporter is all that is left, and it is enough.
#[test]
fn all_attacks_with_both_keys() {
    assert_table(
        "proxy, both keys leaked",
        &Setting::proxy().with_leaked(&[Party::A, Party::P]),
        &[
            (Breach::Stranger, &["signature", "measurement"]),
            (Breach::Impostor, &["exporter"]),
            (Breach::OtherChallenge, &["nonce + exporter", "nonce + exporter-context"]),
            (Breach::Stale, &["nonce + exporter", "nonce + exporter-context"]),
            (
                Breach::Twice,
                &[
                    "nonce + exporter + sequence",
                    "one-use + exporter + sequence",
                    "nonce + public_key + SPKI(K) + exporter",
                ],
            ),
            (Breach::FalseProxy, &[""]),
        ],
    );
}

/// Defence in depth: towards the proxy each part of the binder is one of several, as long as the server's key is secret.
#[test]
fn each_part_of_the_document_alone_is_redundant() {
    for leaked in [&[][..], &[Party::A]] {
        let setting = Setting::proxy().with_leaked(leaked);
        for part in DOCUMENT {
            assert_redundant(&setting, part);
        }
    }
    let both = Setting::proxy().with_leaked(&[Party::A, Party::P]);
    for part in DOCUMENT.into_iter().filter(|part| *part != Exporter) {
        assert_redundant(&both, part);
    }
}

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

/// The network leads an enclave's connection to a peer to the proxy: one part alone keeps the exchanges apart.
#[test]
fn without_the_role_a_peers_evidence_admits_it() {
    assert_attack(
        &Setting::one_key(),
        Breach::OtherRole,
        &[Role],
        &[
            "c1: A (peer) -> P",
            "P asks n1 on c1",
            "A answers n1 on c1: d1",
            "P takes d1 for n1 on c1, unchecked: role",
        ],
    );
}

/// A port that gives evidence to whoever asks, for any nonce: a document of this very key, fresh, for the proxy's own
/// challenge. The whole binder stands in its way, and nothing else.
#[test]
fn evidence_of_the_ingress_port_admits_nobody() {
    assert_holds("proxy and ingress with one key", &Setting::ingress());
    let stolen = Setting::ingress().with_leaked(&[Party::A]);
    assert_holds("proxy and ingress with one key, leaked", &stolen);
    assert_attack(
        &stolen,
        Breach::Impostor,
        &[ServerKey, Exporter, Role, Deployment, Sequence],
        &[
            "c1: M -> A (ingress)",
            "c2: M with A's key -> P",
            "P asks n1 on c2",
            "A answers n1 on c1: d1",
            "P takes d1 for n1 on c2, unchecked: SPKI(server) + exporter + role + deployment + sequence",
        ],
    );
}

/// What stands in a document or is kept for it, besides measurements and their signature.
const DOCUMENT: [Part; 9] =
    [Nonce, OneUse, PublicKey, AttesterKey, ServerKey, Exporter, Context, Role, Sequence];

const FURTHER: Bounds = Bounds { connections: 3, challenges: 3, documents: 3, acceptances: 3 };
