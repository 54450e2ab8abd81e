//! Not every process in the enclave may decrypt, where the client knows the credentials.

use aws_sdk_kms::error::ProvideErrorMetadata;
use countersign_enclave::kms::{Callers, CredentialSource, Credentials, KmsConfig};
use serde_json::json;

use crate::{
    rust_sdk::client,
    setup::{Running, SECRET, config},
    upstream::FakeKms,
};

#[tokio::test]
async fn a_caller_without_the_secret_is_refused() {
    let kms = FakeKms::honest().await;
    let callers =
        Callers::Signed(CredentialSource::fixed(Credentials::new("AKIDAPP".into(), SECRET.into(), None)));
    let endpoint = Running::start(KmsConfig { callers, ..config(&kms.site, &kms.anchor) }).await;

    let random = client(&endpoint, "AKIDAPP", SECRET).generate_random().number_of_bytes(16).send().await;
    assert_eq!(random.unwrap().plaintext.unwrap().as_ref().len(), 16);

    for (access_key, secret, code) in [
        ("AKIDAPP", "guess", "InvalidSignatureException"),
        ("AKIDOTHER", SECRET, "UnrecognizedClientException"),
    ] {
        let refused =
            client(&endpoint, access_key, secret).generate_random().number_of_bytes(16).send().await;
        assert_eq!(refused.unwrap_err().into_service_error().code(), Some(code), "{access_key}");
    }
    let unsigned = endpoint.call("GenerateRandom", json!({"NumberOfBytes": 16})).await;
    assert_eq!(unsigned.refusal().1, "UnrecognizedClientException");
    assert_eq!(kms.asked.lock().unwrap().len(), 1);
}
