//! Every field of an attestation, each wrong in turn: refused with its own code.
//!
//! `docs/protocol.md`, section 3, "What each part stops", row by row.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use countersign_e2e::{Claim, H2Attester, Identity, Proxy, Setup};
use countersign_protocol::{BootId, Role};

#[tokio::test]
async fn an_honest_enclave_is_granted_a_session_and_keeps_it() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    let first = enclave.attest(1, |_| ()).await.grant();
    assert_eq!(first.lease.as_secs(), 30);
    assert_eq!(first.certificates.len(), 2, "the session's own, and its issuer");
    let second = enclave.attest(2, |_| ()).await.grant();
    assert_eq!(second.session, first.session);
    assert_ne!(second.certificates[0], first.certificates[0]);
}

/// "an old document is replayed"
#[tokio::test]
async fn a_replayed_document_answers_another_challenge() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    let challenge = enclave.attester.challenge().await.unwrap();
    let claim = enclave.attester.honest(&challenge, enclave.boot, 1);
    let document = claim.document(&enclave.nsm);
    enclave.attester.answer(&claim, &document).await.unwrap().grant();

    // On the same connection, and on another one with the same key.
    enclave.attester.challenge().await.unwrap();
    let answer = enclave.attester.answer(&Claim { sequence: 2, ..claim.clone() }, &document).await.unwrap();
    assert_eq!(answer.refusal(), (403, "nonce-mismatch".into()));
    enclave.reconnect(&proxy).await;
    enclave.attester.challenge().await.unwrap();
    let answer = enclave.attester.answer(&Claim { sequence: 2, ..claim }, &document).await.unwrap();
    assert_eq!(answer.refusal(), (403, "nonce-mismatch".into()));
}

#[tokio::test]
async fn a_nonce_that_nobody_gave_is_wrong() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    let own = countersign_protocol::Nonce::from_bytes([7; 32]);
    let answer = enclave.attest(1, |claim| claim.nonce = own).await;
    assert_eq!(answer.refusal(), (403, "nonce-mismatch".into()));
}

#[tokio::test]
async fn a_nonce_is_used_once_whatever_came_of_it() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    let challenge = enclave.attester.challenge().await.unwrap();
    let claim = enclave.attester.honest(&challenge, enclave.boot, 1);
    let document = claim.document(&enclave.nsm);

    // A refused answer burns it …
    let answer = enclave.attester.answer(&claim, &document[1..]).await.unwrap();
    assert_eq!(answer.status, 400);
    let answer = enclave.attester.answer(&claim, &document).await.unwrap();
    assert_eq!(answer.refusal(), (409, "no-challenge".into()));

    // … and so does an accepted one.
    enclave.attest(2, |_| ()).await.grant();
    let again = enclave.attester.answer(&claim, &document).await.unwrap();
    assert_eq!(again.refusal(), (409, "no-challenge".into()));
}

/// HTTP/2 carries two answers at once: the nonce is still taken once.
#[tokio::test]
async fn two_answers_at_once_share_no_nonce() {
    let proxy = Proxy::start(Setup::default()).await;
    let key = Identity::p256();
    let mut attester = H2Attester::connect(proxy.attestation, &proxy.dialer(&key), &key).await;
    let challenge = attester.challenge().await;
    let boot = BootId::from_bytes([1; 16]);
    let (first, second) = (attester.honest(&challenge, boot, 1), attester.honest(&challenge, boot, 2));
    let nsm = proxy.nsm("payments-1.0");
    let message = |claim: &Claim| claim.message(&claim.document(&nsm));
    let (first, second) = attester.answer_both(message(&first), message(&second)).await;
    let mut outcomes = [first.status, second.status];
    outcomes.sort_unstable();
    assert_eq!(outcomes, [200, 409], "{first:?} {second:?}");
    let refused = if first.status == 409 { first } else { second };
    assert_eq!(refused.refusal(), (409, "no-challenge".into()));
}

#[tokio::test]
async fn a_second_challenge_replaces_the_first() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    let first = enclave.attester.challenge().await.unwrap();
    let second = enclave.attester.challenge().await.unwrap();
    assert_ne!(first.nonce, second.nonce);
    let claim = enclave.attester.honest(&first, enclave.boot, 1);
    let answer = enclave.attester.answer(&claim, &claim.document(&enclave.nsm)).await.unwrap();
    assert_eq!(answer.refusal(), (403, "nonce-mismatch".into()));
}

/// A nonce belongs to its connection: another one of the same key cannot answer it.
#[tokio::test]
async fn a_challenge_of_another_connection_is_none() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    let challenge = enclave.attester.challenge().await.unwrap();
    let claim = enclave.attester.honest(&challenge, enclave.boot, 1);
    let document = claim.document(&enclave.nsm);
    enclave.reconnect(&proxy).await;
    let answer = enclave.attester.answer(&claim, &document).await.unwrap();
    assert_eq!(answer.refusal(), (409, "no-challenge".into()));
}

#[tokio::test]
async fn an_answer_after_ten_seconds_is_late() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    let challenge = enclave.attester.challenge().await.unwrap();
    let claim = enclave.attester.honest(&challenge, enclave.boot, 1);
    let document = claim.document(&enclave.nsm);
    proxy.pass(countersign_protocol::wire::NONCE_LIFETIME).await;
    let answer = enclave.attester.answer(&claim, &document).await.unwrap();
    assert_eq!(answer.refusal(), (409, "challenge-expired".into()));
}

/// "evidence of one key opens a session for another"
#[tokio::test]
async fn evidence_of_another_key_is_not_this_keys() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut thief = proxy.enclave("payments-1.0").await;
    let victim = Identity::p256().spki();
    let answer = thief.attest(1, |claim| claim.public_key = victim.clone()).await;
    assert_eq!(answer.refusal(), (403, "public-key-mismatch".into()));
    // Nor if the binder names it too.
    let both = |claim: &mut Claim| {
        claim.public_key.clone_from(&victim);
        claim.attester_spki.clone_from(&victim);
    };
    assert_eq!(thief.attest(2, both).await.refusal(), (403, "public-key-mismatch".into()));
}

/// "relays", "reflected", "taken to another", "put in a later one's place": each
/// part of the binder, wrong alone. The honest answer between two attacks shows
/// that nothing else was wrong.
#[tokio::test]
async fn every_part_of_the_binder_binds() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    let other = Identity::p256().spki();
    let attacks: [(&str, Attack<'_>); 9] = [
        ("reflected from an initiator", &|claim| claim.role = Role::Initiator),
        ("reflected from a responder", &|claim| claim.role = Role::Responder),
        ("another attester's key", &|claim| claim.attester_spki.clone_from(&other)),
        ("another server", &|claim| claim.server_spki.clone_from(&other)),
        ("another connection", &|claim| claim.exporter[0] ^= 1),
        ("another deployment", &|claim| claim.deployment = "staging".parse().unwrap()),
        ("another boot", &|claim| claim.bound_boot = BootId::from_bytes([9; 16])),
        ("an earlier sequence", &|claim| claim.bound_sequence -= 1),
        ("a later sequence", &|claim| claim.bound_sequence += 1),
    ];
    for (sequence, (what, attack)) in (1..).step_by(2).zip(attacks) {
        let answer = enclave.attest(sequence, attack).await;
        assert_eq!(answer.refusal(), (403, "user-data-mismatch".into()), "{what}");
        enclave.attest(sequence + 1, |_| ()).await.grant();
    }
}

#[tokio::test]
async fn a_sequence_only_grows_within_a_boot() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    enclave.attest(5, |_| ()).await.grant();
    for replayed in [5, 4, 0] {
        assert_eq!(
            enclave.attest(replayed, |_| ()).await.refusal(),
            (409, "sequence-replayed".into()),
            "{replayed}"
        );
    }
    enclave.attest(6, |_| ()).await.grant();

    // The same on a new connection: the session remembers, not the connection.
    enclave.reconnect(&proxy).await;
    assert_eq!(enclave.attest(6, |_| ()).await.refusal(), (409, "sequence-replayed".into()));
}

#[tokio::test]
async fn a_key_is_of_one_boot_and_one_image() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    enclave.attest(1, |_| ()).await.grant();
    enclave.boot = BootId::from_bytes([9; 16]);
    assert_eq!(enclave.attest(2, |_| ()).await.refusal(), (409, "session-conflict".into()));
    enclave.nsm = proxy.nsm("payments-2.0");
    assert_eq!(enclave.attest(3, |_| ()).await.refusal(), (409, "session-conflict".into()));
}

#[tokio::test]
async fn an_unknown_image_learns_nothing_of_the_known_ones() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-unreviewed").await;
    let answer = enclave.attest(1, |_| ()).await;
    assert_eq!(answer.refusal(), (403, "pcr-mismatch".into()));
    assert!(!answer.problem().detail.contains("1.0"), "{}", answer.problem().detail);
}

#[tokio::test]
async fn an_enclave_in_debug_mode_is_told_so() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    enclave.nsm = proxy.debug_nsm("payments-1.0");
    let answer = enclave.attest(1, |_| ()).await;
    assert_eq!(answer.refusal(), (403, "debug-mode".into()));
    assert!(answer.problem().detail.contains("debug"), "{}", answer.problem().detail);
}

/// The NSM's clock, not the wire's time: made by a module whose clock is off.
#[tokio::test]
async fn a_document_of_another_time_is_refused() {
    let proxy = Proxy::start(Setup::default()).await;
    let mut enclave = proxy.enclave("payments-1.0").await;
    let answer = enclave.attest(1, |claim| claim.clock_skew_ms = -61_000).await;
    assert_eq!(answer.refusal(), (403, "document-too-old".into()));
    let answer = enclave.attest(2, |claim| claim.clock_skew_ms = 12_000).await;
    assert_eq!(answer.refusal(), (403, "document-from-the-future".into()));
}

#[tokio::test]
async fn a_revoked_image_is_refused_by_name() {
    let proxy = Proxy::start(Setup::default()).await;
    proxy.revoke("payments", "1.0").await;
    let answer = proxy.enclave("payments-1.0").await.attest(1, |_| ()).await;
    assert_eq!(answer.refusal(), (403, "measurement-revoked".into()));
    proxy.enclave("payments-2.0").await.attest(1, |_| ()).await.grant();
}

/// Changes one thing that the claim says.
type Attack<'a> = &'a dyn Fn(&mut Claim);
