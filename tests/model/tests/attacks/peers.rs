//! Two enclaves attest to each other, both ways at once, without certificates that anybody could check.

use countersign_model::{
    Part::{self, *},
    exchange::{Bounds, Breach, Party, PeerBinder, Setting},
};

use crate::claims::{assert_goal, assert_holds, assert_leaves_open, assert_redundant, assert_table};

#[test]
fn with_everything_checked_nothing_is_reached() {
    let two_rounds_each = Bounds { connections: 2, challenges: 4, documents: 4, acceptances: 4 };
    assert_holds("peers, two rounds", &Setting::peers().within(two_rounds_each));
    let three = Bounds { connections: 3, challenges: 3, documents: 3, acceptances: 2 };
    assert_holds("peers, three connections", &Setting::peers().within(three));
}

/// A key is not the connection.
#[test]
fn with_everything_checked_stolen_keys_are_worth_nothing() {
    let one = Setting::peers().with_leaked(&[Party::A]);
    assert_holds("peers, one key leaked", &one.within(TABLE));
    let both = Setting::peers().with_leaked(&[Party::A, Party::B]);
    assert_holds("peers, both keys leaked", &both.within(TABLE));
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

/// Peers' evidence names no deployment: only what their configurations accept keeps two installations apart.
#[test]
fn peers_of_two_deployments_with_one_image_take_each_other() {
    assert_leaves_open("peers of two deployments", &Setting::peers_apart(), &[Breach::OtherDeployment]);
    let alike = Setting { peer_binder: PeerBinder::Proxys, ..Setting::peers_apart() };
    assert_leaves_open("the same with the proxy's binder", &alike, &[]);
}

#[test]
fn all_attacks_while_keys_are_secret() {
    assert_table(
        "peers",
        &Setting::peers().within(TABLE),
        &[
            (Breach::Stranger, &["signature", "measurement"]),
            (
                Breach::Impostor,
                &[
                    "public_key + SPKI(K) + SPKI(server) + exporter",
                    "public_key + SPKI(K) + SPKI(server) + role",
                    "nonce + public_key + SPKI(K) + exporter + nonces",
                ],
            ),
            (Breach::OtherChallenge, &["nonce + exporter + nonces", "nonce + exporter-context + nonces"]),
            (Breach::Stale, &["nonce + exporter + nonces", "nonce + exporter-context + nonces"]),
            (
                Breach::Twice,
                &[
                    "one-use + public_key + SPKI(K) + SPKI(server) + exporter",
                    "one-use + public_key + SPKI(K) + SPKI(server) + role",
                    "nonce + public_key + SPKI(K) + exporter + nonces",
                    "nonce + public_key + SPKI(K) + SPKI(server) + exporter-context + role + nonces",
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
        &Setting::peers().with_leaked(&[Party::A]).within(Bounds { acceptances: 1, ..TABLE }),
        &[
            (Breach::Stranger, &["signature", "measurement"]),
            (Breach::Impostor, &["exporter", "role"]),
            (Breach::OtherChallenge, &["nonce + exporter + nonces", "nonce + exporter-context + nonces"]),
            (Breach::Stale, &["nonce + exporter + nonces", "nonce + exporter-context + nonces"]),
            (Breach::Diverted, &["instance"]),
        ],
    );
}

/// Defence in depth: among peers each part of the document is one of several while keys are secret. With the key of one
/// of them the connection and the role stand alone; the rest is still one of several.
#[test]
fn each_part_of_the_document_alone_is_redundant() {
    let stolen = Setting::peers().with_leaked(&[Party::A]);
    for part in DOCUMENT {
        assert_redundant(&Setting::peers().within(TABLE), part);
        if ![Exporter, Role].contains(&part) {
            assert_redundant(&stolen.clone().within(TABLE), part);
        }
    }
}

const DOCUMENT: [Part; 10] =
    [Nonce, OneUse, PublicKey, AttesterKey, ServerKey, Exporter, Context, Role, Nonces, Label];

/// A replay takes an honest round before it.
const TABLE: Bounds = Bounds { connections: 2, challenges: 3, documents: 3, acceptances: 2 };
