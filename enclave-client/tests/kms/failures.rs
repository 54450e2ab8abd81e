//! Whatever is not exactly an attested answer is an error, and says why.

use std::sync::Arc;

use countersign_enclave::{
    device::{Attestor, Device, DeviceError, DocumentRequest},
    kms::{Allow, Rules},
};
use countersign_simulator::seal_for_recipient;
use serde_json::{Value, json};

use crate::{
    setup::{AUTHORIZATION, KEY, Running, config},
    upstream::{Asked, FakeKms, base64_decode, base64_encode, honest},
};

const OTHER_KEY: &str = "arn:aws:kms:eu-west-1:999999999999:key/00000000-0000-0000-0000-000000000000";

type Answers = fn(&Asked) -> Value;

/// What one stand-in answers to Decrypt, and what the caller gets.
async fn decrypt_of(answer: Answers) -> (u16, String, String) {
    let kms = FakeKms::start(Arc::new(move |asked| (200, answer(asked)))).await;
    let endpoint = Running::start(config(&kms.site, &kms.anchor)).await;
    let answer = endpoint.call("Decrypt", json!({"CiphertextBlob": "AA==", "KeyId": KEY})).await;
    assert!(!answer.body.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{answer:?}");
    answer.refusal()
}

/// `a secret` in base64.
const SECRET: &str = "YSBzZWNyZXQ=";

#[tokio::test]
async fn an_answer_with_plaintext_is_refused() {
    let plaintext: [Answers; 3] = [
        |_| json!({"KeyId": KEY, "Plaintext": SECRET}),
        |asked| json!({"KeyId": KEY, "Plaintext": SECRET, "CiphertextForRecipient": asked.envelope(b"a secret")}),
        |_| json!({"KeyId": KEY, "Plaintext": SECRET, "CiphertextForRecipient": null}),
    ];
    for answer in plaintext {
        let message = "countersign: the answer holds a plaintext";
        assert_eq!(decrypt_of(answer).await, (400, "PlaintextRefusedException".into(), message.into()));
    }
}

#[tokio::test]
async fn a_success_that_kms_does_not_have_hides_no_plaintext() {
    for status in [201, 206, 302] {
        let kms =
            FakeKms::start(Arc::new(move |_| (status, json!({"KeyId": KEY, "Plaintext": SECRET})))).await;
        let endpoint = Running::start(config(&kms.site, &kms.anchor)).await;
        let answer = endpoint.call("Decrypt", json!({"CiphertextBlob": "AA=="})).await;
        let message = "countersign: the answer is neither a success nor an error of KMS";
        assert_eq!(answer.refusal(), (400, "PlaintextRefusedException".into(), message.into()));
    }
}

#[tokio::test]
async fn an_answer_without_an_envelope_is_refused() {
    let without: [Answers; 3] = [
        |_| json!({"KeyId": KEY}),
        |_| json!({"KeyId": KEY, "Plaintext": null, "CiphertextForRecipient": ""}),
        |_| json!({"KeyId": KEY, "Plaintext": "", "CiphertextForRecipient": null}),
    ];
    for answer in without {
        let message = "countersign: the answer lacks CiphertextForRecipient";
        assert_eq!(decrypt_of(answer).await, (400, "PlaintextRefusedException".into(), message.into()));
    }
}

#[tokio::test]
async fn a_malformed_answer_is_refused_with_its_reason() {
    let cases: [(Answers, &str); 6] = [
        (|_| json!([1]), "the answer: not a JSON object"),
        (
            |_| Value::from(r#"{"KeyId":"a","KeyId":"b"}"#),
            "the answer: \"KeyId\" comes twice at line 1 column 25",
        ),
        (
            |_| json!({"KeyId": KEY, "CiphertextForRecipient": "!"}),
            "the answer: CiphertextForRecipient is not base64",
        ),
        (
            |_| json!({"KeyId": KEY, "CiphertextForRecipient": "AAAA"}),
            "CiphertextForRecipient: ContentInfo has the tag 0x00, not 0x30",
        ),
        (
            |asked| {
                let mut envelope = base64_decode(&asked.envelope(b"x"));
                envelope.push(0);
                json!({"KeyId": KEY, "CiphertextForRecipient": base64_encode(&envelope)})
            },
            "CiphertextForRecipient: something follows the envelope",
        ),
        (
            |_| {
                let other = countersign_enclave::kms::recipient::RecipientKey::generate().unwrap();
                let envelope = seal_for_recipient(other.spki(), b"a secret").unwrap();
                json!({"KeyId": KEY, "CiphertextForRecipient": base64_encode(&envelope)})
            },
            "CiphertextForRecipient: the envelope was made for another key",
        ),
    ];
    for (answer, reason) in cases {
        let (status, code, message) = decrypt_of(answer).await;
        assert_eq!((status, code.as_str()), (400, "EnvelopeRefusedException"), "{message}");
        assert_eq!(message, format!("countersign: {reason}"));
    }
}

#[tokio::test]
async fn a_swapped_key_is_found_out() {
    let (status, code, message) = decrypt_of(
        |asked| json!({"KeyId": OTHER_KEY, "CiphertextForRecipient": asked.envelope(b"a secret")}),
    )
    .await;
    assert_eq!((status, code.as_str()), (400, "AccessDeniedException"));
    assert!(
        message.starts_with(&format!("countersign: KMS says that it used the key {OTHER_KEY:?}")),
        "{message}"
    );
}

#[tokio::test]
async fn rules_refuse_before_anything_is_sent() {
    let kms = FakeKms::honest().await;
    let rules = Rules {
        operations: Allow::Only(["Decrypt", "GenerateRandom"].map(|name| name.parse().unwrap()).into()),
        keys: Allow::Only([KEY.parse().unwrap()].into()),
        encryption_context: [("app".to_owned(), "payments".to_owned())].into(),
    };
    let endpoint =
        Running::start(countersign_enclave::kms::KmsConfig { rules, ..config(&kms.site, &kms.anchor) }).await;
    let denied = |rule: &str| (400, "AccessDeniedException".to_owned(), format!("countersign: {rule}"));
    let answer = endpoint.call("Encrypt", json!({"KeyId": KEY})).await;
    assert_eq!(answer.refusal(), denied("kms_proxy.operations does not list Encrypt"));
    let answer = endpoint.call("Decrypt", json!({"KeyId": OTHER_KEY})).await;
    assert_eq!(answer.refusal(), denied(&format!("kms_proxy.keys does not list {OTHER_KEY:?} (KeyId)")));
    let answer = endpoint.call("Decrypt", json!({"KeyId": KEY, "CiphertextBlob": "AA=="})).await;
    let rule = "kms_proxy.encryption_context requires the entry \"app\" with its value";
    assert_eq!(answer.refusal(), denied(rule));
    assert!(kms.asked.lock().unwrap().is_empty());
    let allowed = json!({"KeyId": KEY, "CiphertextBlob": "AA==", "EncryptionContext": {"app": "payments"}});
    assert_eq!(endpoint.call("Decrypt", allowed).await.status, 200);
}

/// Decrypting a foreign ciphertext in two steps, by way of a key that is listed.
#[tokio::test]
async fn re_encrypting_is_no_way_round_the_keys() {
    let swapped = |_: &_| json!({"KeyId": KEY, "SourceKeyId": OTHER_KEY, "CiphertextBlob": "AA=="});
    let kms = FakeKms::start(Arc::new(move |asked| (200, swapped(asked)))).await;
    let rules = Rules {
        operations: Allow::Any,
        keys: Allow::Only([KEY.parse().unwrap()].into()),
        encryption_context: [].into(),
    };
    let endpoint =
        Running::start(countersign_enclave::kms::KmsConfig { rules, ..config(&kms.site, &kms.anchor) }).await;
    let denied = |rule: &str| (400, "AccessDeniedException".to_owned(), format!("countersign: {rule}"));
    let unnamed = json!({"CiphertextBlob": "AA==", "DestinationKeyId": KEY});
    let answer = endpoint.call("ReEncrypt", unnamed).await;
    let rule = "kms_proxy.keys needs the key to be named: the request has no SourceKeyId";
    assert_eq!(answer.refusal(), denied(rule));
    assert!(kms.asked.lock().unwrap().is_empty());
    let named = json!({"CiphertextBlob": "AA==", "DestinationKeyId": KEY, "SourceKeyId": KEY});
    let answer = endpoint.call("ReEncrypt", named).await;
    let rule = format!(
        "KMS says that it used the key {OTHER_KEY:?}, which is not the one asked for or not in kms_proxy.keys"
    );
    assert_eq!(answer.refusal(), denied(&rule));
}

#[tokio::test]
async fn no_operation_answers_with_a_plaintext() {
    for member in ["Plaintext", "PrivateKeyPlaintext", "SharedSecret"] {
        let kms = FakeKms::start(Arc::new(move |_| (200, json!({"KeyId": KEY, member: SECRET})))).await;
        let endpoint = Running::start(config(&kms.site, &kms.anchor)).await;
        let answer = endpoint.call("DecryptInSomeFutureWay", json!({"KeyId": KEY})).await;
        let message = "countersign: the answer holds a plaintext";
        assert_eq!(answer.refusal(), (400, "PlaintextRefusedException".into(), message.into()), "{member}");
    }
}

#[tokio::test]
async fn requests_that_are_not_kms_requests_are_refused() {
    let kms = FakeKms::honest().await;
    let endpoint = Running::start(config(&kms.site, &kms.anchor)).await;
    let recipient = json!({"Recipient": {"AttestationDocument": "AA=="}});
    let answer = endpoint.call("Decrypt", recipient).await;
    let message = "countersign: this endpoint adds Recipient itself: leave it out";
    assert_eq!(answer.refusal(), (400, "ValidationException".into(), message.into()));
    let answer = endpoint.raw("Decrypt", b"{\"KeyId\":\"a\",\"KeyId\":\"b\"}".to_vec(), AUTHORIZATION).await;
    let message = "countersign: the request: \"KeyId\" comes twice at line 1 column 25";
    assert_eq!(answer.refusal(), (400, "SerializationException".into(), message.into()));
    let answer = endpoint.raw("Decrypt", b"{}".to_vec(), "Basic eDp5").await;
    assert_eq!(answer.refusal().1, "IncompleteSignatureException");
    let elsewhere = AUTHORIZATION.replace("eu-west-1", "evil.example#");
    assert_eq!(
        endpoint.raw("Decrypt", b"{}".to_vec(), &elsewhere).await.refusal().1,
        "InvalidSignatureException"
    );
    let huge = vec![b' '; 1024 * 1024 + 1];
    assert_eq!(endpoint.raw("Encrypt", huge, AUTHORIZATION).await.status, 413);
    assert!(kms.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_not_allowed_to_leave_does_not() {
    let kms = FakeKms::honest().await;
    let mut unnamed = config(&kms.site, &kms.anchor);
    unnamed.endpoints.named.clear();
    let endpoint = Running::start(unnamed).await;
    let (status, code, message) = endpoint.call("Encrypt", json!({})).await.refusal();
    assert_eq!((status, code.as_str()), (503, "KMSInternalException"));
    assert!(message.contains("there is no way out to KMS: kms.eu-west-1.amazonaws.com:443"), "{message}");
    assert!(message.ends_with("no rule allows it"), "{message}");
}

#[tokio::test]
async fn a_kms_that_the_anchors_do_not_vouch_for_is_not_spoken_to() {
    let kms = FakeKms::honest().await;
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let endpoint = Running::start(config(&kms.site, &other.cert.pem())).await;
    let (status, _, message) = endpoint.call("Encrypt", json!({"Plaintext": SECRET})).await.refusal();
    assert_eq!(status, 503);
    assert!(message.contains("no TLS with KMS"), "{message}");
    assert!(kms.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_kms_that_says_nothing_ends_with_the_deadline() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kms = FakeKms::honest().await;
    let mut config = config(&format!("https://{}", silent.local_addr().unwrap()), &kms.anchor);
    config.limits.call_deadline = std::time::Duration::from_millis(50);
    let endpoint = Running::start(config).await;
    let answer = endpoint.call("Encrypt", json!({"Plaintext": "AA=="})).await;
    let message = "countersign: KMS did not answer in time";
    assert_eq!(answer.refusal(), (503, "DependencyTimeoutException".into(), message.into()));
}

#[tokio::test]
async fn without_a_device_attested_calls_fail_and_others_do_not() {
    struct Broken;
    impl Attestor for Broken {
        fn attest(&self, _: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
            Err(DeviceError::Refused { code: "InternalError".into() })
        }
    }
    let kms = FakeKms::start(Arc::new(honest)).await;
    let endpoint =
        Running::with_device(config(&kms.site, &kms.anchor), Device::new(Broken), Arc::default()).await;
    let answer = endpoint.call("GenerateRandom", json!({"NumberOfBytes": 8})).await;
    let message = "countersign: no attestation document: the NSM refused with InternalError";
    assert_eq!(answer.refusal(), (503, "KMSInternalException".into(), message.into()));
    assert!(kms.asked.lock().unwrap().is_empty(), "never sent without a Recipient");
    assert_eq!(endpoint.call("Encrypt", json!({"Plaintext": "AA=="})).await.status, 200);
}
