//! The five operations, and everything else untouched.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::{
    setup::{KEY, Running, config},
    upstream::{FakeKms, base64_decode, base64_encode},
};

#[tokio::test]
async fn the_five_operations_look_like_plain_kms() {
    let kms = FakeKms::honest().await;
    let endpoint = Running::start(config(&kms.site, &kms.anchor)).await;
    let blob = base64_encode(b"drawkcab");
    let answer = endpoint.call("Decrypt", json!({"CiphertextBlob": blob, "KeyId": KEY})).await.json();
    let expected = json!({"KeyId": KEY, "Plaintext": base64_encode(b"backward"), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"});
    assert_eq!(answer, expected);

    let answer = endpoint.call("GenerateDataKey", json!({"KeyId": KEY, "KeySpec": "AES_256"})).await.json();
    let key = base64_decode(answer["Plaintext"].as_str().unwrap());
    let blob: Vec<u8> = base64_decode(answer["CiphertextBlob"].as_str().unwrap()).into_iter().rev().collect();
    assert_eq!((key.len(), &key), (32, &blob));
    assert!(answer.get("CiphertextForRecipient").is_none());

    let answer = endpoint.call("GenerateRandom", json!({"NumberOfBytes": 1024})).await.json();
    assert_eq!(base64_decode(answer["Plaintext"].as_str().unwrap()).len(), 1024);

    let request = json!({"KeyId": KEY, "KeyPairSpec": "RSA_2048"});
    let answer = endpoint.call("GenerateDataKeyPair", request).await.json();
    let expected = json!({"PublicKey": "cHVibGlj", "PrivateKeyCiphertextBlob": "c2VhbGVk", "KeyPairSpec": "RSA_2048", "KeyId": KEY, "PrivateKeyPlaintext": base64_encode(&[7; 1200])});
    assert_eq!(answer, expected);

    let request = json!({"KeyId": KEY, "KeyAgreementAlgorithm": "ECDH", "PublicKey": "cHVibGlj"});
    let answer = endpoint.call("DeriveSharedSecret", request).await.json();
    assert_eq!(answer, json!({"KeyId": KEY, "SharedSecret": base64_encode(&[9; 32])}));
}

#[tokio::test]
async fn other_operations_pass_untouched_and_signed_anew() {
    let kms = FakeKms::honest().await;
    let endpoint = Running::start(config(&kms.site, &kms.anchor)).await;
    let request = json!({"KeyId": KEY, "Plaintext": base64_encode(b"backward")});
    let answer = endpoint.call("Encrypt", request.clone()).await;
    assert_eq!(answer.json()["CiphertextBlob"], base64_encode(b"drawkcab"));
    let asked = kms.last();
    assert_eq!(asked.body, request);
    let host = kms.site.strip_prefix("https://").unwrap();
    assert_eq!(asked.headers["host"], host);
    assert_eq!(asked.headers["x-amz-security-token"], "token");
    let authorization = asked.headers["authorization"].to_str().unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDENDPOINT/"), "{authorization}");
    let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target,";
    assert!(authorization.contains(signed), "{authorization}");
}

#[tokio::test]
async fn errors_of_kms_come_as_kms_wrote_them() {
    let kms = FakeKms::honest().await;
    let endpoint = Running::start(config(&kms.site, &kms.anchor)).await;
    let answer = endpoint.call("DescribeKey", json!({"KeyId": "nope"})).await;
    assert_eq!(answer.refusal(), (400, "NotFoundException".into(), "Invalid keyId".into()));
    assert_eq!(answer.headers["x-amzn-requestid"], "11112222-3333-4444-5555-666677778888");
}

#[tokio::test]
async fn many_calls_share_one_document_and_kept_connections() {
    let kms = FakeKms::honest().await;
    let endpoint = Running::start(config(&kms.site, &kms.anchor)).await;
    for _ in 0..20 {
        let answer = endpoint.call("GenerateRandom", json!({"NumberOfBytes": 8})).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(endpoint.documents.load(Ordering::SeqCst), 1);
    assert_eq!(kms.connections.load(Ordering::SeqCst), 1);
    assert_eq!(kms.asked.lock().unwrap().len(), 20);
}
