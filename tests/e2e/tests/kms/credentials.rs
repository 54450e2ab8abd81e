//! Who is given credentials, over the real port and the real store.

use countersign_e2e::{Answer, Attester, Identity, Proxy};
use countersign_protocol::{
    SessionId,
    message::{AskCredentials, IssuedCredentials},
    wire,
};
use serde_json::json;

use crate::shim::{REGION, Shim, python};

async fn ask(attester: &mut Attester, session: SessionId) -> Answer {
    attester.wire.post(wire::CREDENTIALS_PATH, &AskCredentials { session }.encode()).await.unwrap()
}

#[tokio::test]
async fn a_session_is_given_credentials_that_aws_takes_until_its_measurement_is_revoked() {
    let Some(shim) = Shim::start() else { return };
    let proxy = shim.proxy(shim.address("moto"), shim.address("port")).await;
    let mut admitted = proxy.admitted("payments-1.0").await;
    let session = admitted.grant.session;

    let answer = ask(&mut admitted.enclave.attester, session).await;
    assert_eq!((answer.status, &*answer.content_type), (200, wire::CBOR), "{answer:?}");
    let issued = IssuedCredentials::decode(&answer.body).unwrap();
    let identity = caller_identity(&shim, &issued).await;
    assert!(identity.ends_with(&format!(":assumed-role/payments/countersign-{session}")), "{identity}");

    // The same ones over another connection of the same key, and to no other key.
    admitted.enclave.reconnect(&proxy).await;
    let again = ask(&mut admitted.enclave.attester, session).await;
    assert_eq!(IssuedCredentials::decode(&again.body).unwrap(), issued, "kept");
    let thief = Identity::p256();
    let mut stranger = Attester::connect(proxy.attestation, &proxy.dialer(&thief), &thief).await.unwrap();
    assert_eq!(ask(&mut stranger, session).await.refusal(), (401, "key-mismatch".into()));
    let unknown = SessionId::from_bytes([7; 16]);
    assert_eq!(ask(&mut stranger, unknown).await.refusal(), (401, "no-session".into()));

    let mut other = proxy.admitted("payments-2.0").await;
    proxy.revoke("payments", "1.0").await;
    let refused = ask(&mut admitted.enclave.attester, session).await;
    assert_eq!(refused.refusal(), (403, "measurement-revoked".into()));
    let of_other = other.grant.session;
    assert_eq!(ask(&mut other.enclave.attester, of_other).await.status, 200, "another measurement goes on");

    let rows = audit(&proxy).await;
    let kinds = |kind: &str| rows.iter().filter(|row| row["kind"] == kind).count();
    assert_eq!(kinds("credentials"), 2, "{rows:#?}");
    let detail =
        rows.iter().find(|row| row["session"] == session.to_string() && row["kind"] == "credentials");
    let detail = detail.unwrap()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with(issued.access_key_id), "{detail}");
    assert!(detail.contains(shim.text("role")), "{detail}");
    let all = json!(rows).to_string();
    assert!(!all.contains(issued.secret_access_key) && !all.contains(issued.session_token));
}

#[tokio::test]
async fn what_is_no_request_for_credentials_is_refused() {
    let proxy = Proxy::start(Default::default()).await;
    let mut admitted = proxy.admitted("payments-1.0").await;
    let session = admitted.grant.session;
    let attester = &mut admitted.enclave.attester;
    assert_eq!(ask(attester, session).await.refusal(), (403, "credentials-not-offered".into()));
    let good = AskCredentials { session }.encode();
    for (body, refusal) in [
        (Vec::new(), (400, "bad-request")),
        (good[..good.len() - 1].to_vec(), (400, "bad-request")),
        ([&good[..], &[0]].concat(), (400, "bad-request")),
        (vec![0; wire::MAX_ASK_CREDENTIALS + 1], (413, "too-large")),
    ] {
        admitted.enclave.reconnect(&proxy).await;
        let answer = admitted.enclave.attester.wire.post(wire::CREDENTIALS_PATH, &body).await.unwrap();
        assert_eq!(answer.refusal(), (refusal.0, refusal.1.to_owned()), "{body:?}");
    }
    // A connection that proves no key.
    let nobody = countersign_e2e::Dialer::new(&proxy.anchor, None);
    let mut wire = countersign_e2e::Wire::new(nobody.dial(proxy.attestation).await.unwrap());
    let answer = wire.post(wire::CREDENTIALS_PATH, &good).await.unwrap();
    assert_eq!(answer.refusal(), (401, "no-client-key".into()));
}

/// An STS that cannot be reached, or refuses, is a refusal of its own, and its words stay in the log.
#[tokio::test]
async fn an_sts_that_says_no_is_said_to_be_unavailable() {
    let Some(shim) = Shim::start() else { return };
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = shim.proxy(nowhere, shim.address("port")).await;
    let mut admitted = proxy.admitted("payments-1.0").await;
    let session = admitted.grant.session;
    let refused = ask(&mut admitted.enclave.attester, session).await;
    assert_eq!(refused.refusal(), (503, "credentials-unavailable".into()));
    assert!(!String::from_utf8_lossy(&refused.body).contains("AssumeRole"), "{refused:?}");
    let line = proxy.logged("credentials-unavailable").await;
    assert!(line["reason"].as_str().unwrap().contains("AssumeRole failed"), "{line}");
}

/// What moto says of whoever holds these credentials: it checks their signature.
async fn caller_identity(shim: &Shim, issued: &IssuedCredentials<'_>) -> String {
    let script = "import boto3, sys; print(boto3.client('sts', endpoint_url=sys.argv[1]).get_caller_identity()['Arn'])";
    let asked = tokio::process::Command::new(python().unwrap())
        .args(["-c", script, &format!("http://{}", shim.address("moto"))])
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", issued.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", issued.secret_access_key)
        .env("AWS_SESSION_TOKEN", issued.session_token)
        .kill_on_drop(true)
        .output();
    let asked = asked.await.unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    String::from_utf8(asked.stdout).unwrap().trim().to_owned()
}

/// Every audit row, as the command line lists them.
async fn audit(proxy: &Proxy) -> Vec<serde_json::Value> {
    let listed = tokio::process::Command::new(crate::shim::PROXY)
        .args(["audit", "list", "--output", "json", "--config"])
        .arg(proxy.directory().join("countersign.toml"))
        .kill_on_drop(true)
        .output();
    let listed = listed.await.unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    serde_json::from_slice(&listed.stdout).unwrap()
}
