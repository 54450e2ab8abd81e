//! How two enclaves that attest to each other would be attacked, in the fewest steps.

use countersign_model::{
    Part::*,
    exchange::{Bounds, Breach, Party, PeerBinder, Purpose, Setting},
};

use crate::claims::assert_attack;

#[test]
fn replay() {
    assert_attack(
        &one_way().within(LONGER),
        Breach::Impostor,
        &[Nonce, PublicKey, AttesterKey, Exporter, Nonces],
        &[
            "c1: A (peer) -> B (peer)",
            "c2: A (peer) -> M",
            "A asks n1 on c1",
            "B asks n2 on c1",
            "A asks n3 on c2",
            "B answers n1 on c1: d1",
            "A answers n1 on c2: d2",
            "A takes d1 for n3 on c2, unchecked: nonce + public_key + SPKI(K) + exporter + nonces",
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
            "B asks n2 on c2",
            "A answers n2 on c1: d1",
            "B answers n1 on c2: d2",
            "A takes d2 for n1 on c1, unchecked: public_key + SPKI(K) + SPKI(server) + exporter",
        ],
    );
}

/// Both enclaves' keys in the wrong hands: all keys in the document match. Only the connection does not.
#[test]
fn relay_with_both_keys_stolen() {
    assert_attack(
        &one_way().with_leaked(&[Party::B, Party::A]),
        Breach::Impostor,
        &[Exporter],
        &[
            "c1: A (peer) -> M with B's key",
            "c2: M with A's key -> B (peer)",
            "A asks n1 on c1",
            "B asks n2 on c2",
            "A answers n2 on c1: d1",
            "B answers n1 on c2: d2",
            "A takes d2 for n1 on c1, unchecked: exporter",
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

/// All on one connection, with the enclave's own key: keys, exporter and nonces are right. Only the role is not.
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
        &one_way().within(LONGER),
        Breach::Stale,
        &[Nonce, Context, Nonces],
        &[
            "c1: A (peer) -> B (peer)",
            "A asks n1 on c1",
            "B asks n2 on c1",
            "A answers n2 on c1: d1",
            "B asks n3 on c1",
            "B answers n1 on c1: d2",
            "B takes d1 for n3 on c1, unchecked: nonce + exporter-context + nonces",
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
            "A asks n2 on c1",
            "A answers n2 on c1: d1",
            "A answers n1 on c1: d2",
            "A takes d2 for n1 on c1, unchecked: instance",
        ],
    );
}

/// Were peers' evidence of the same kind as the proxy's, the deployment in it would keep installations apart.
#[test]
fn without_the_deployment_peers_of_two_installations_take_each_other() {
    let alike = Setting { peer_binder: PeerBinder::Proxys, ..Setting::peers_apart() };
    assert_attack(
        &alike,
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

/// Only A opens connections, and only B accepts them.
fn one_way() -> Setting {
    let opens = vec![(Party::A, Purpose::Initiate(Party::B))];
    Setting { opens, listens: vec![(Party::B, Purpose::Respond)], ..Setting::peers() }
}

const LONGER: Bounds = Bounds { connections: 2, challenges: 3, documents: 3, acceptances: 2 };
