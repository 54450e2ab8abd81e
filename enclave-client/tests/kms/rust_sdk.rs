//! aws-sdk-kms for Rust, as an application uses it; the builder of its clients serves other tests too.

use aws_sdk_kms::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    primitives::Blob,
    types::DataKeySpec,
};

use crate::{
    setup::{KEY, REGION, Running, SECRET, config},
    upstream::FakeKms,
};

pub(crate) fn client(endpoint: &Running, access_key: &str, secret: &str) -> Client {
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(format!("http://{}", endpoint.address))
        .credentials_provider(Credentials::new(access_key, secret, None, None, "test"))
        .build();
    Client::from_conf(config)
}

#[tokio::test]
async fn it_decrypts_and_generates_as_with_plain_kms() {
    let kms = FakeKms::honest().await;
    let endpoint = Running::start(config(&kms.site, &kms.anchor)).await;
    let client = client(&endpoint, "AKIDCALLER", SECRET);
    let sealed = client.encrypt().key_id(KEY).plaintext(Blob::new("hello")).send().await.unwrap();
    let opened = client.decrypt().ciphertext_blob(sealed.ciphertext_blob.unwrap()).send().await.unwrap();
    assert_eq!(opened.plaintext.unwrap().as_ref(), b"hello");
    assert_eq!(opened.ciphertext_for_recipient, None);
    let key = client.generate_data_key().key_id(KEY).key_spec(DataKeySpec::Aes256).send().await.unwrap();
    assert_eq!(key.plaintext.unwrap().as_ref().len(), 32);
    let random = client.generate_random().number_of_bytes(16).send().await.unwrap();
    assert_eq!(random.plaintext.unwrap().as_ref().len(), 16);
    let error = client.describe_key().key_id("nope").send().await.unwrap_err().into_service_error();
    assert!(error.is_not_found_exception(), "{error}");
}
