//! An enclave uses one key for everything: what it shows to one must be worth nothing to another.

use countersign_model::{
    Part::*,
    exchange::{Bounds, Breach, Party, PeerBinder, Setting},
};

use crate::claims::{assert_attack, assert_holds};

#[test]
fn with_everything_checked_nothing_is_reached() {
    assert_holds("proxy and peers with one key", &Setting::one_key().within(FURTHER));
    assert_holds("the same, leaked", &Setting::one_key().with_leaked(&[Party::A]));
    assert_holds("proxy and ingress with one key", &Setting::ingress());
    assert_holds("the same, leaked", &Setting::ingress().with_leaked(&[Party::A]));
    let alike = Setting { peer_binder: PeerBinder::Proxys, ..Setting::one_key() };
    assert_holds("proxy and peers with one key and one kind of evidence", &alike);
}

/// The network leads an enclave's connection to a peer to the proxy, and all of the binder stands in the way.
#[test]
fn a_peers_evidence_admits_nobody() {
    assert_attack(
        &Setting::one_key(),
        Breach::OtherRole,
        &[Exporter, Role, Deployment, Sequence, Label],
        &[
            "c1: A (peer) -> P",
            "A asks n1 on c1",
            "P asks n2 on c1",
            "A answers n2 on c1: d1",
            "P takes d1 for n2 on c1, unchecked: exporter + role + deployment + sequence + label",
        ],
    );
}

/// Were peers' evidence of the same kind as the proxy's, one word would keep the two apart.
#[test]
fn with_one_kind_of_evidence_the_role_stands_alone() {
    let alike = Setting { peer_binder: PeerBinder::Proxys, ..Setting::one_key() };
    assert_attack(
        &alike,
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
    assert_attack(
        &Setting::ingress().with_leaked(&[Party::A]),
        Breach::Impostor,
        &[ServerKey, Exporter, Role, Deployment, Sequence, Label],
        &[
            "c1: M -> A (ingress)",
            "c2: M with A's key -> P",
            "P asks n1 on c2",
            "A answers n1 on c1: d1",
            "P takes d1 for n1 on c2, unchecked: SPKI(server) + exporter + role + deployment + sequence + label",
        ],
    );
}

const FURTHER: Bounds = Bounds { connections: 3, challenges: 3, documents: 3, acceptances: 2 };
