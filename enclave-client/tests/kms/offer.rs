//! Credentials that nobody carries in: SDKs ask for them on loopback.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use countersign_enclave::kms::{CredentialSource, Credentials, CredentialsEndpoint};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::setup::{Answer, send};

#[tokio::test]
async fn whoever_has_the_token_gets_the_newest_credentials() {
    let (publish, newest) = CredentialSource::published();
    publish.publish(made("one", 1_755_000_000));
    let endpoint = CredentialsEndpoint::bind(0).await.unwrap();
    let [(uri_name, uri), (token_name, token)] = endpoint.environment();
    assert_eq!(uri_name, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    assert_eq!((token_name, token.len()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", 64));
    assert!(!format!("{endpoint:?}").contains(&token));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(endpoint.serve(newest, stop.clone()));

    let offered = |id: &str, expiration: &str| json!({"AccessKeyId": id, "SecretAccessKey": "secret", "Token": "token", "Expiration": expiration});
    assert_eq!(ask(&uri, &token).await.json(), offered("one", "2025-08-12T12:00:00Z"));
    publish.publish(made("two", 1_755_003_600));
    assert_eq!(ask(&uri, &token).await.json(), offered("two", "2025-08-12T13:00:00Z"));

    for (path, shown, status) in [("", "", 403), ("", "guess", 403), ("/other", token.as_str(), 404)] {
        let answer = ask(&format!("{uri}{path}"), shown).await;
        assert_eq!(answer.status, status, "{path} {shown}");
        assert_eq!(answer.json().get("SecretAccessKey"), None::<&Value>);
    }
    stop.cancel();
    serving.await.unwrap();
}

fn made(id: &str, expires: u64) -> Credentials {
    let expires: SystemTime = UNIX_EPOCH + Duration::from_secs(expires);
    Credentials::new(id.to_owned(), "secret".to_owned(), Some("token".to_owned())).expiring(expires)
}

async fn ask(uri: &str, token: &str) -> Answer {
    let rest = uri.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let request = Request::get(format!("/{path}")).header("host", address).header("authorization", token);
    send(address.parse().unwrap(), request.body(Full::new(Bytes::new())).unwrap()).await
}
