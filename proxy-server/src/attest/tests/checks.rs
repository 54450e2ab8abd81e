//! Each check refuses for its own reason, in its own place in the order.

use std::sync::Arc;

use countersign_protocol::{Nonce, Role, wire};
use countersign_simulator::{AttestationRequest, Module, SimulatedRoot, SoftwareNsm};
use rustls::{pki_types::CertificateDer, server::ParsedCertificate};

use super::{
    client::{Client, client_config, connect, read_answer},
    fixture::Fixture,
};
use crate::{
    policy::Policy,
    store::{Actor, Change, ChangeRequest, PolicyStore, SessionStore, UnixMs},
};

#[tokio::test]
async fn an_enclave_is_admitted_renews_and_is_written_down() {
    let fixture = Fixture::start("admit").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let grant = client.attest(1).await.unwrap();
    assert_eq!((grant.lease.as_secs(), grant.epoch.0, grant.certificates.len()), (30, 1, 2));
    let leaf = CertificateDer::from(grant.certificates[0].clone());
    let parsed = ParsedCertificate::try_from(&leaf).unwrap();
    assert_eq!(parsed.subject_public_key_info().as_ref(), client.spki());

    let renewed = client.attest(2).await.unwrap();
    assert_eq!(renewed.session, grant.session);
    let rows = fixture.store.sessions(UnixMs::now()).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].id, rows[0].sequence, rows[0].measurement.as_str()),
        (grant.session, 2, "payments-v1")
    );
    let session = fixture.sessions.find(&grant.session).unwrap();
    assert_eq!(session.key(), rows[0].key);
    assert_eq!(
        fixture.audit().await,
        ["policy policy-seeded 1", "admission admitted 1", "admission renewed 1"],
        "committed before the answer"
    );
}

#[tokio::test]
async fn the_same_enclave_renews_on_another_connection() {
    let fixture = Fixture::start("reconnect").await;
    let mut first = Client::connect(&fixture, "payments-v1").await;
    let grant = first.attest(1).await.unwrap();
    let mut second = first.again(&fixture).await;
    assert_eq!(second.attest(2).await.unwrap().session, grant.session);
    assert_eq!(refusal(second.attest(2).await), "sequence-replayed");
    assert_eq!(refusal(first.attest(1).await), "sequence-replayed");
}

#[tokio::test]
async fn a_nonce_is_asked_for_answered_once_and_burned_by_a_failure() {
    let fixture = Fixture::start("nonce").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let never = client.sign(&client.request(&Nonce::from_bytes([1; 32]), 1));
    assert_eq!(refusal(client.send_document(&never, 1).await), "no-challenge");

    let challenge = client.challenge().await;
    let good = client.sign(&client.request(&challenge.nonce, 1));
    let junk = client.post(wire::ATTEST_PATH, b"junk").await;
    assert_eq!((junk.status, junk.problem().code.as_ref()), (400, "bad-request"));
    assert_eq!(refusal(client.send_document(&good, 1).await), "no-challenge", "burned by junk");

    let challenge = client.challenge().await;
    let good = client.sign(&client.request(&challenge.nonce, 1));
    client.send_document(&good, 1).await.unwrap();
    assert_eq!(refusal(client.send_document(&good, 1).await), "no-challenge", "answered already");

    let first = client.challenge().await;
    client.challenge().await;
    let late = client.sign(&client.request(&first.nonce, 2));
    assert_eq!(refusal(client.send_document(&late, 2).await), "nonce-mismatch", "only the last one stands");
}

#[tokio::test]
async fn a_challenge_ends_after_ten_seconds() {
    let fixture = Fixture::start("expired").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let challenge = client.challenge().await;
    let good = client.sign(&client.request(&challenge.nonce, 1));
    tokio::time::pause();
    tokio::time::advance(wire::NONCE_LIFETIME).await;
    tokio::time::resume();
    assert_eq!(refusal(client.send_document(&good, 1).await), "challenge-expired");
}

#[tokio::test]
async fn what_the_document_is_bound_to_must_be_this_exchange() {
    let fixture = Fixture::start("bound").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;

    let challenge = client.challenge().await;
    let other_nonce = AttestationRequest { nonce: Some(vec![0; 32]), ..client.request(&challenge.nonce, 1) };
    assert_eq!(refusal(sent(&mut client, &other_nonce, 1).await), "nonce-mismatch");

    let challenge = client.challenge().await;
    let other = Client::connect(&fixture, "payments-v1").await;
    let other_key =
        AttestationRequest { public_key: Some(other.spki()), ..client.request(&challenge.nonce, 1) };
    assert_eq!(refusal(sent(&mut client, &other_key, 1).await), "public-key-mismatch");

    let challenge = client.challenge().await;
    let request = client.request(&challenge.nonce, 1);
    assert_eq!(refusal(sent(&mut client, &request, 2).await), "user-data-mismatch", "another sequence");

    let challenge = client.challenge().await;
    let exporter = exporter(&client, &challenge.nonce);
    let reflected = client.request_with(&challenge.nonce, 1, Role::Responder, &exporter);
    assert_eq!(refusal(sent(&mut client, &reflected, 1).await), "user-data-mismatch", "another role");

    // A man in the middle relays the nonce, but has a TLS connection to each side.
    let challenge = client.challenge().await;
    let relayed = other.request(&challenge.nonce, 1);
    let relayed = AttestationRequest { public_key: Some(client.spki()), ..relayed };
    assert_eq!(refusal(sent(&mut client, &relayed, 1).await), "user-data-mismatch", "another connection");
    assert!(fixture.sessions.is_empty());
}

#[tokio::test]
async fn a_document_has_its_time() {
    let fixture = Fixture::start("time").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    for (shift, code) in [(-61_000, "document-too-old"), (20_000, "document-from-the-future")] {
        let challenge = client.challenge().await;
        let at = UnixMs::now().as_millis().saturating_add_signed(shift);
        let document = client.nsm.attest(at, &client.request(&challenge.nonce, 1)).unwrap();
        let problem = client.send_document(&document, 1).await.unwrap_err();
        assert_eq!(problem.code, code, "{problem}");
    }
}

#[tokio::test]
async fn strangers_are_refused_before_any_signature_and_written_down() {
    let fixture = Fixture::start("strangers").await;
    for (module, code) in [
        (Module::from_image("stranger"), "pcr-mismatch"),
        (Module::from_image("planned-v2"), "pcr-mismatch"),
        (Module::from_image("payments-v1").debug(), "debug-mode"),
        (Module::from_image("retired-v0"), "measurement-revoked"),
    ] {
        let mut client = Client::connect_as(&fixture, module).await;
        let problem = client.attest(1).await.unwrap_err();
        assert_eq!((problem.status, problem.code.as_ref()), (403, code), "{problem}");
        assert!(!problem.detail.contains("payments"), "nothing about the allowlist: {problem}");
        if code == "debug-mode" {
            assert!(problem.detail.contains("debug mode"), "{problem}");
        }
    }
    // The rows of refusals are not waited for; an admission after them is, and comes last.
    Client::connect(&fixture, "payments-v1").await.attest(1).await.unwrap();
    assert_eq!(
        fixture.audit().await,
        [
            "policy policy-seeded 1",
            "refusal pcr-mismatch 1",
            "refusal pcr-mismatch 1",
            "refusal debug-mode 1",
            "refusal measurement-revoked 1",
            "admission admitted 1"
        ]
    );
}

#[tokio::test]
async fn our_pcrs_under_another_root_are_refused() {
    let fixture = Fixture::start("root").await;
    let foreign = SimulatedRoot::generate(UnixMs::now().as_millis()).unwrap();
    let mut client = Client::connect(&fixture, "payments-v1").await;
    client.nsm = Arc::new(SoftwareNsm::new(&foreign, Module::from_image("payments-v1")));
    let problem = client.attest(1).await.unwrap_err();
    assert_eq!((problem.status, problem.code.as_ref()), (403, "untrusted-root"));
}

#[tokio::test]
async fn one_flipped_bit_in_the_signature_is_refused() {
    let fixture = Fixture::start("signature").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let challenge = client.challenge().await;
    let mut document = client.sign(&client.request(&challenge.nonce, 1));
    *document.last_mut().unwrap() ^= 1;
    assert_eq!(refusal(client.send_document(&document, 1).await), "signature-invalid");
}

#[tokio::test]
async fn without_a_certificate_the_answer_says_what_to_bring() {
    use tokio::io::AsyncWriteExt;
    let fixture = Fixture::start("no-key").await;
    let mut stream = connect(&fixture, client_config(&fixture).with_no_client_auth()).await.unwrap();
    for path in [wire::CHALLENGE_PATH, wire::ATTEST_PATH] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: proxy\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert_eq!((answer.status, answer.problem().code.as_ref()), (401, "no-client-key"));
    }
}

#[tokio::test]
async fn a_stale_policy_admits_nobody() {
    let mut fixture = Fixture::start("stale").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    let challenge = client.challenge().await;
    let good = client.sign(&client.request(&challenge.nonce, 1));
    fixture.silence_store().await;
    tokio::time::pause();
    tokio::time::advance(crate::policy::PolicyHandle::STALE_AFTER * 2).await;
    tokio::time::resume();
    assert_eq!(refusal(client.send_document(&good, 1).await), "stale");
}

#[tokio::test]
async fn a_revocation_before_the_next_attestation_is_seen() {
    let fixture = Fixture::start("revoked").await;
    let mut client = Client::connect(&fixture, "payments-v1").await;
    client.attest(1).await.unwrap();
    let change = Change::RevokeMeasurement {
        workload: "payments".parse().unwrap(),
        name: "payments-v1".into(),
        reason: None,
    };
    let actor = Actor { subject: "local:test".into(), request_id: "test".into() };
    fixture.store.change(ChangeRequest::at_once(change, actor, UnixMs::now())).await.unwrap();
    let next = Policy::from_store(&fixture.store.load().await.unwrap(), UnixMs::now()).unwrap();
    fixture.policy.replace(Arc::new(next));
    assert_eq!(refusal(client.attest(2).await), "measurement-revoked");
}

fn exporter(client: &Client, nonce: &Nonce) -> [u8; wire::EXPORTER_LEN] {
    let (_, connection) = client.stream.get_ref();
    let out = [0; wire::EXPORTER_LEN];
    connection.export_keying_material(out, wire::EXPORTER_LABEL, Some(nonce.as_bytes())).unwrap()
}

async fn sent(
    client: &mut Client,
    request: &AttestationRequest,
    sequence: u64,
) -> Result<countersign_protocol::message::Grant, countersign_protocol::Problem> {
    let document = client.sign(request);
    client.send_document(&document, sequence).await
}

fn refusal(answer: Result<countersign_protocol::message::Grant, countersign_protocol::Problem>) -> String {
    answer.unwrap_err().code.into_owned()
}
