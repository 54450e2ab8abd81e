//! Not every process in the enclave may decrypt, where the client knows the credentials.

use std::time::{Duration, SystemTime};

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

/// An SDK asks for new credentials when it likes: until then it signs with what it has.
#[tokio::test]
async fn a_caller_may_sign_with_earlier_credentials_until_they_expire() {
    let kms = FakeKms::honest().await;
    let (publish, source) = CredentialSource::published();
    let made = |id: &str, left: u64| {
        let expires = SystemTime::now() + Duration::from_secs(left);
        Credentials::new(id.into(), format!("secret of {id}"), Some("token".into())).expiring(expires)
    };
    publish.publish(made("OVER", 0));
    publish.publish(made("EARLIER", 900));
    publish.publish(made("NEWEST", 900));
    let changed = KmsConfig {
        callers: Callers::Signed(source.clone()),
        credentials: source,
        ..config(&kms.site, &kms.anchor)
    };
    let endpoint = Running::start(changed).await;
    let random = async |id: &str, secret: &str| {
        let asked = client(&endpoint, id, secret).generate_random().number_of_bytes(16).send().await;
        asked.map(drop).map_err(|error| error.into_service_error().code().unwrap().to_owned())
    };
    for id in ["EARLIER", "NEWEST"] {
        assert_eq!(random(id, &format!("secret of {id}")).await, Ok(()));
        let signed = kms.last().headers["authorization"].to_str().unwrap().to_owned();
        assert!(signed.contains("Credential=NEWEST/"), "signed anew with the newest: {signed}");
    }
    assert_eq!(random("EARLIER", "secret of NEWEST").await, Err("InvalidSignatureException".into()));
    assert_eq!(random("OVER", "secret of OVER").await, Err("UnrecognizedClientException".into()));
    publish.take_back();
    publish.publish(made("AGAIN", 900));
    assert_eq!(random("EARLIER", "secret of EARLIER").await, Err("UnrecognizedClientException".into()));
}
