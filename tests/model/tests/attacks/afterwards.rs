//! What an attestation is worth afterwards: session certificates at the gateway, later connections between peers.

use countersign_model::{
    Part::*,
    gateway::{self, Gateway},
    later::{self, KeyKept, Later},
};

use crate::claims::{assert_attack, assert_holds, assert_leaves_open, assert_table};

#[test]
fn with_everything_checked_nothing_is_reached() {
    assert_holds("gateway", &GATEWAY);
    assert_holds("later connections", &LATER);
}

/// A key that leaks is a session until its lease lapses, and a known peer until the interval passes: here no document is
/// made for the connection, so nothing but the key is asked. (tests/proxy.rs, tests/peers.rs: where one is made, a leaked
/// key alone opens nothing.)
#[test]
fn a_leaked_key_is_enough_until_the_next_document() {
    let gateway = Gateway { enclaves_key: KeyKept::Leaked };
    assert_leaves_open("gateway, the key leaked", &gateway, &[gateway::Breach::Stolen]);
    assert_attack(
        &gateway,
        gateway::Breach::Stolen,
        &[],
        &["A is admitted", "M with A's key opens a tunnel with A's certificate"],
    );
    let later = Later { workers_key: KeyKept::Leaked };
    assert_leaves_open("later connections, the key leaked", &later, &[later::Breach::Impostor]);
    assert_attack(
        &later,
        later::Breach::Impostor,
        &[],
        &["A takes the attacker with the worker's key for the worker, without documents"],
    );
    // And no longer.
    assert_attack(
        &later,
        later::Breach::Stale,
        &[Interval],
        &[
            "the interval passes",
            "A takes the attacker with the worker's key for the worker, without documents, unchecked: interval",
        ],
    );
}

#[test]
fn all_attacks_on_the_gateway() {
    assert_table(
        "gateway",
        &GATEWAY,
        &[
            (gateway::Breach::Stolen, &["possession", "issuer + record", "issuer + record-key"]),
            (gateway::Breach::Lifeless, &["record"]),
        ],
    );
}

#[test]
fn a_stolen_certificate_without_proof_of_its_key() {
    assert_attack(
        &GATEWAY,
        gateway::Breach::Stolen,
        &[Possession],
        &["A is admitted", "M opens a tunnel with A's certificate, unchecked: possession"],
    );
}

#[test]
fn a_forged_certificate_that_names_a_session() {
    assert_attack(
        &GATEWAY,
        gateway::Breach::Stolen,
        &[Issuer, RecordKey],
        &[
            "A is admitted",
            "M opens a tunnel with a forged certificate over M's key, unchecked: issuer + record-key",
        ],
    );
}

#[test]
fn a_certificate_after_its_sessions_end() {
    assert_attack(
        &GATEWAY,
        gateway::Breach::Lifeless,
        &[Record],
        &["A is admitted", "A's session ends", "A opens a tunnel with A's certificate, unchecked: record"],
    );
}

#[test]
fn all_attacks_on_later_connections() {
    assert_table(
        "later connections",
        &LATER,
        &[
            (later::Breach::Impostor, &["known-key"]),
            (later::Breach::Stale, &["interval"]),
            (later::Breach::OtherImage, &["appraisal"]),
        ],
    );
}

/// What is remembered is a key *and* what it was attested as: else an attested worker is a database as well.
#[test]
fn a_remembered_key_is_not_every_service() {
    assert_attack(
        &LATER,
        later::Breach::OtherImage,
        &[Appraisal],
        &["A takes the worker for the database, without documents, unchecked: appraisal"],
    );
}

const GATEWAY: Gateway = Gateway { enclaves_key: KeyKept::Secret };
const LATER: Later = Later { workers_key: KeyKept::Secret };
