//! The client's half of the attestation, against a proxy that verifies it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fake;

use countersign_enclave::{
    attest::{AttestError, Attested, Link, ProxySite, Site, SiteConfig},
    tls::Anchors,
    transport::{Address, Dial, DialError},
};
use countersign_protocol::{Epoch, Lease, Problem, ProblemCode, message::MessageError};
use fake::FakeProxy;

async fn attest(site: &ProxySite) -> Result<Attested, AttestError> {
    let address = site.resolve().await?.remove(0);
    let mut link = site.connect(&address).await?;
    let challenge = link.challenge().await?;
    link.answer(&challenge, Lease::MIN).await
}

#[tokio::test]
async fn the_document_is_bound_to_connection_key_and_nonce_each_time() {
    let mut proxy = FakeProxy::start().await;
    let site = proxy.site();
    let address = site.resolve().await.unwrap().remove(0);
    let mut link = site.connect(&address).await.unwrap();
    for _ in 0..2 {
        let challenge = link.challenge().await.unwrap();
        let attested = link.answer(&challenge, Lease::MIN).await.unwrap();
        assert_eq!(attested.session.as_bytes(), &fake::SESSION);
        assert_eq!((attested.lease, attested.epoch), (Lease::MIN, Epoch(1)));
        assert_eq!(attested.gateway, Some(Address::Tcp(proxy.gateway)));
    }
    attest(&site).await.unwrap();
    let mut verified = Vec::new();
    for _ in 0..3 {
        verified.push(proxy.reports.recv().await.unwrap().unwrap());
    }
    assert_eq!(verified.iter().map(|v| v.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(verified.iter().map(|v| v.connection).collect::<Vec<_>>(), [1, 1, 2]);
    assert!(verified.iter().all(|v| v.boot_id == verified[0].boot_id));
}

#[tokio::test]
async fn what_is_no_answer_is_refused_for_its_own_reason() {
    let proxy = FakeProxy::start().await;
    let site = proxy.site();

    // A nonce of 31 bytes: 0x58 0x20 is the head of a byte string of 32.
    let short = hex_challenge("581f", &"11".repeat(31));
    proxy.behave(|b| b.challenge = Some(short));
    let error = attest(&site).await.unwrap_err();
    let field = MessageError::Field { label: "countersign-challenge-v1", field: "nonce" };
    assert!(matches!(&error, AttestError::Message(why) if *why == field), "{error:?}");

    let mut long = hex_challenge("5820", &"11".repeat(32));
    long.push(0);
    proxy.behave(|b| b.challenge = Some(long));
    let error = attest(&site).await.unwrap_err();
    assert!(matches!(&error, AttestError::Message(MessageError::Trailing { extra: 1, .. })), "{error:?}");

    proxy.behave(|b| b.challenge = Some(vec![0; 100_000]));
    assert!(matches!(attest(&site).await.unwrap_err(), AttestError::TooLong));

    // Reflection: the client's own message comes back.
    proxy.behave(|b| {
        b.challenge = None;
        b.reflect = true;
    });
    let error = attest(&site).await.unwrap_err();
    let not_this = MessageError::NotThis { label: "countersign-grant-v1" };
    assert!(matches!(&error, AttestError::Message(why) if *why == not_this), "{error:?}");

    proxy.behave(|b| {
        b.reflect = false;
        b.foreign_certificate = true;
    });
    assert!(matches!(attest(&site).await.unwrap_err(), AttestError::ForeignCertificate));

    let problem = Problem::new(ProblemCode::MeasurementRevoked, "revoked", "r7");
    let body = serde_json::to_vec(&problem).unwrap();
    proxy.behave(|b| {
        b.foreign_certificate = false;
        b.answer = Some((403, body));
    });
    let error = attest(&site).await.unwrap_err();
    assert!(matches!(&error, AttestError::Refused(seen) if *seen == problem), "{error:?}");

    proxy.behave(|b| b.answer = Some((418, b"teapot".to_vec())));
    assert!(matches!(attest(&site).await.unwrap_err(), AttestError::Status { status: 418 }));
}

fn hex_challenge(head: &str, nonce: &str) -> Vec<u8> {
    let label = hex::encode("countersign-challenge-v1");
    hex::decode(format!("867818{label}{head}{nonce}6466616b6501181e190258")).unwrap()
}

#[tokio::test]
async fn a_proxy_under_another_anchor_or_name_gets_nothing() {
    let mut proxy = FakeProxy::start().await;
    let other = FakeProxy::start().await;
    let foreign_anchor = SiteConfig { anchors: other.anchors(), ..proxy.site_config() };
    let bundled = SiteConfig { anchors: Anchors::bundled(), ..proxy.site_config() };
    let other_name = SiteConfig { name: "proxy.example".parse().unwrap(), ..proxy.site_config() };
    for config in [foreign_anchor, bundled, other_name] {
        let error = attest(&ProxySite::new(config).unwrap()).await.unwrap_err();
        assert!(matches!(error, AttestError::Tls(_)), "{error:?}");
    }
    assert!(proxy.reports.try_recv().is_err());
}

/// Two installations may share a certificate; the binder alone, which takes the proxy's word, does not tell them apart.
#[tokio::test]
async fn a_proxy_of_another_deployment_gets_no_document() {
    let mut proxy = FakeProxy::start().await;
    let right = SiteConfig { deployment: Some("fake".parse().unwrap()), ..proxy.site_config() };
    attest(&ProxySite::new(right).unwrap()).await.unwrap();
    proxy.reports.try_recv().unwrap().unwrap();
    let wrong = SiteConfig { deployment: Some("prod".parse().unwrap()), ..proxy.site_config() };
    let error = attest(&ProxySite::new(wrong).unwrap()).await.unwrap_err();
    assert_eq!(error.code(), "proxy-deployment-differs");
    assert_eq!(error.to_string(), "the proxy is of deployment fake; the manifest names prod");
    assert!(proxy.reports.try_recv().is_err(), "nothing was shown to it");
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let proxy = FakeProxy::start_with(&[&rustls::version::TLS12]).await;
    let error = attest(&proxy.site()).await.unwrap_err();
    assert!(matches!(error, AttestError::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn nobody_at_the_address_is_said_with_the_address() {
    let proxy = FakeProxy::start().await;
    let config = SiteConfig { attestation: "tcp:127.0.0.1:1".parse().unwrap(), ..proxy.site_config() };
    let error = attest(&ProxySite::new(config).unwrap()).await.unwrap_err();
    let expected = Address::Tcp("127.0.0.1:1".parse().unwrap());
    assert!(
        matches!(&error, AttestError::Dial(DialError::Connect { address, .. }) if *address == expected),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_exchange_runs_over_a_unix_socket_alike() {
    let mut proxy = FakeProxy::start().await;
    let directory = std::env::temp_dir().join(format!("countersign-attest-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    proxy.listen_on_unix(&directory);
    let attestation = Dial::Unix(directory.join("attestation"));
    let config = SiteConfig { attestation, gateway_port: None, ..proxy.site_config() };
    let attested = attest(&ProxySite::new(config).unwrap()).await.unwrap();
    assert_eq!(attested.gateway, None);
    proxy.reports.recv().await.unwrap().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}
