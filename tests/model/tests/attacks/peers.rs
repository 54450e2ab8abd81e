//! Two enclaves attest to each other, both ways at once, without certificates that anybody could check.

use countersign_model::{
    Part::{self, *},
    exchange::{Bounds, Breach, Party, Purpose, Setting},
};

use crate::claims::{
    assert_attack, assert_goal, assert_holds, assert_leaves_open, assert_redundant, assert_table,
};

#[test]
fn with_everything_checked_nothing_is_reached() {
    assert_holds("peers", &Setting::peers());
    assert_holds("peers, more connections", &Setting::peers().within(MORE_CONNECTIONS));
    let stolen = Setting::peers().with_leaked(&[Party::A, Party::B]);
    assert_holds("peers, both keys leaked", &stolen);
}

#[test]
fn honest_peers_take_each_other() {
    assert_goal(
        &Setting::peers(),
        &[
            "c1: A (peer) -> B (peer)",
            "A asks n1 on c1",
            "B asks n2 on c1",
            "A answers n2 on c1: d1",
            "B answers n1 on c1: d2",
            "A takes d2 for n1 on c1",
            "B takes d1 for n2 on c1",
        ],
    );
}

/// As far as a machine can be asked to go: 25 million states.
#[test]
#[ignore = "five minutes and 11 GB of memory: `make model DEEP=1`"]
fn with_everything_checked_nothing_is_reached_far_out() {
    let far = Bounds { connections: 3, challenges: 3, documents: 3, acceptances: 2 };
    assert_holds("peers, far out", &Setting::peers().within(far));
}

/// Peers of two deployments never agree, so there is no goal to reach.
#[test]
fn peers_of_two_deployments_refuse_each_other() {
    assert_leaves_open("peers of two deployments", &Setting::peers_apart(), &[]);
}

#[test]
fn all_attacks_while_keys_are_secret() {
    assert_table(
        "peers",
        &Setting::peers(),
        &[
            (Breach::Stranger, &["signature", "measurement"]),
            (
                Breach::Impostor,
                &[
                    "nonce + public_key + SPKI(K) + exporter",
                    "public_key + SPKI(K) + SPKI(server) + exporter",
                    "public_key + SPKI(K) + SPKI(server) + role",
                ],
            ),
            (Breach::OtherChallenge, &["nonce + exporter", "nonce + exporter-context"]),
            (Breach::Stale, &["nonce + exporter", "nonce + exporter-context"]),
            (
                Breach::Twice,
                &[
                    "nonce + public_key + SPKI(K) + exporter",
                    "one-use + public_key + SPKI(K) + SPKI(server) + exporter + sequence",
                    "one-use + public_key + SPKI(K) + SPKI(server) + role + sequence",
                    "nonce + public_key + SPKI(K) + SPKI(server) + exporter-context + role + sequence",
                ],
            ),
            (Breach::Diverted, &["instance"]),
        ],
    );
}

#[test]
fn all_attacks_with_the_key_of_one() {
    assert_table(
        "peers, one key leaked",
        &Setting::peers().with_leaked(&[Party::A]),
        &[
            (Breach::Stranger, &["signature", "measurement"]),
            (Breach::Impostor, &["exporter", "role"]),
            (Breach::OtherChallenge, &["nonce + exporter", "nonce + exporter-context"]),
            (Breach::Stale, &["nonce + exporter", "nonce + exporter-context"]),
            (
                Breach::Twice,
                &[
                    "nonce + SPKI(server) + exporter",
                    "nonce + exporter + sequence",
                    "one-use + exporter + sequence",
                    "one-use + role + sequence",
                    "nonce + public_key + SPKI(K) + exporter",
                    "nonce + exporter-context + role + sequence",
                ],
            ),
            (Breach::Diverted, &["instance"]),
        ],
    );
}

/// Defence in depth among peers while keys are secret: each part of the binder is one of several.
#[test]
fn each_part_of_the_document_alone_is_redundant() {
    for part in DOCUMENT {
        assert_redundant(&Setting::peers(), part);
    }
    // With the key of one of them the connection and the role stand alone; the rest is still one of several.
    let stolen = Setting::peers().with_leaked(&[Party::A]);
    for part in DOCUMENT.into_iter().filter(|part| ![Exporter, Role].contains(part)) {
        assert_redundant(&stolen, part);
    }
}

#[test]
fn replay() {
    assert_attack(
        &Setting::peers(),
        Breach::Impostor,
        &[Nonce, PublicKey, AttesterKey, Exporter],
        &[
            "c1: A (peer) -> B (peer)",
            "c2: A (peer) -> M",
            "A asks n1 on c1",
            "A asks n2 on c2",
            "B answers n1 on c1: d1",
            "A takes d1 for n2 on c2, unchecked: nonce + public_key + SPKI(K) + exporter",
        ],
    );
}

/// The attacker stands between two enclaves, each of which is allowed.
#[test]
fn relay() {
    assert_attack(
        &Setting::peers(),
        Breach::Impostor,
        &[PublicKey, AttesterKey, ServerKey, Exporter],
        &[
            "c1: A (peer) -> M",
            "c2: M -> B (peer)",
            "A asks n1 on c1",
            "B answers n1 on c2: d1",
            "A takes d1 for n1 on c1, unchecked: public_key + SPKI(K) + SPKI(server) + exporter",
        ],
    );
}

/// Both enclaves' keys in the wrong hands: all keys in the document match. Only the connection does not.
#[test]
fn relay_with_both_keys_stolen() {
    let opens = vec![(Party::A, Purpose::Initiate(Party::B))];
    let one_way = Setting { opens, listens: vec![(Party::B, Purpose::Respond)], ..Setting::peers() };
    assert_attack(
        &one_way.with_leaked(&[Party::B, Party::A]),
        Breach::Impostor,
        &[Exporter],
        &[
            "c1: A (peer) -> M with B's key",
            "c2: M with A's key -> B (peer)",
            "A asks n1 on c1",
            "B answers n1 on c2: d1",
            "A takes d1 for n1 on c1, unchecked: exporter",
        ],
    );
}

/// An enclave's own challenge comes back to it, and so does its own document.
#[test]
fn reflection() {
    assert_attack(
        &Setting::peers(),
        Breach::Impostor,
        &[PublicKey, AttesterKey, ServerKey, Role],
        &[
            "c1: M -> B (peer)",
            "B asks n1 on c1",
            "B answers n1 on c1: d1",
            "B takes d1 for n1 on c1, unchecked: public_key + SPKI(K) + SPKI(server) + role",
        ],
    );
}

/// All on one connection, with the enclave's own key: key, exporter and nonce are right. Only the role is not.
#[test]
fn reflection_with_a_stolen_key() {
    assert_attack(
        &Setting::peers().with_leaked(&[Party::B]),
        Breach::Impostor,
        &[Role],
        &[
            "c1: M with B's key -> B (peer)",
            "B asks n1 on c1",
            "B answers n1 on c1: d1",
            "B takes d1 for n1 on c1, unchecked: role",
        ],
    );
}

#[test]
fn a_stale_document_on_the_same_connection() {
    assert_attack(
        &Setting::peers(),
        Breach::Stale,
        &[Nonce, Context],
        &[
            "c1: A (peer) -> B (peer)",
            "A asks n1 on c1",
            "B answers n1 on c1: d1",
            "A asks n2 on c1",
            "A takes d1 for n2 on c1, unchecked: nonce + exporter-context",
        ],
    );
}

/// An image is not a machine. Here the other machine is even the one that opened the connection.
#[test]
fn without_the_instance_a_connection_is_led_to_another_machine() {
    assert_attack(
        &Setting::peers(),
        Breach::Diverted,
        &[Instance],
        &[
            "c1: A (peer) -> A (peer)",
            "A asks n1 on c1",
            "A answers n1 on c1: d1",
            "A takes d1 for n1 on c1, unchecked: instance",
        ],
    );
}

#[test]
fn without_the_deployment_peers_of_two_installations_take_each_other() {
    assert_attack(
        &Setting::peers_apart(),
        Breach::OtherDeployment,
        &[Deployment],
        &[
            "c1: A (peer) -> B (peer)",
            "A asks n1 on c1",
            "B answers n1 on c1: d1",
            "A takes d1 for n1 on c1, unchecked: deployment",
        ],
    );
}

const DOCUMENT: [Part; 10] =
    [Nonce, OneUse, PublicKey, AttesterKey, ServerKey, Exporter, Context, Role, Deployment, Sequence];

const MORE_CONNECTIONS: Bounds = Bounds { connections: 3, challenges: 2, documents: 2, acceptances: 2 };
