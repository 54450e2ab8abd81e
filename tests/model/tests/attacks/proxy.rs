//! An enclave attests to the proxy.

use countersign_model::{
    Part::{self, *},
    exchange::{Bounds, Breach, Party, Setting},
};

use crate::claims::{assert_goal, assert_holds, assert_leaves_open, assert_redundant, assert_table};

#[test]
fn with_everything_checked_nothing_is_reached() {
    assert_holds("proxy", &Setting::proxy());
    assert_holds("proxy, further", &Setting::proxy().within(FURTHER));
    let stolen = Setting::proxy().with_leaked(&[Party::A]);
    assert_holds("proxy, the enclave's key leaked", &stolen);
    assert_holds("proxy, the enclave's key leaked, further", &stolen.within(FURTHER));
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

/// What stands in a document or is kept for it, besides measurements and their signature.
const DOCUMENT: [Part; 9] =
    [Nonce, OneUse, PublicKey, AttesterKey, ServerKey, Exporter, Context, Role, Sequence];

const FURTHER: Bounds = Bounds { connections: 3, challenges: 3, documents: 3, acceptances: 3 };
