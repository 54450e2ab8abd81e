//! What TLS itself refuses, before a byte of HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use countersign_e2e::{Dialer, Identity, Proxy, Setup};

const CHALLENGE: &[u8] = b"POST /v1/challenge HTTP/1.1\r\nhost: proxy.test\r\ncontent-length: 0\r\n\r\n";

/// The versions that a client offers, without TLS 1.3.
static TLS12_ONLY: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS12];

#[tokio::test]
async fn tls_1_2_is_refused_on_both_ports() {
    let proxy = Proxy::start(Setup::default()).await;
    let dialer = Dialer { versions: &TLS12_ONLY, ..proxy.dialer(&Identity::p256()) };
    for port in [proxy.attestation, proxy.gateway] {
        let refused = dialer.ask(port, CHALLENGE).await.unwrap_err();
        assert!(refused.contains("ProtocolVersion"), "{refused}");
    }
}

/// The attestation port tells what is missing; the gateway talks to nobody.
#[tokio::test]
async fn without_a_client_certificate_there_is_nothing_to_have() {
    let proxy = Proxy::start(Setup::default()).await;
    let dialer = Dialer::new(&proxy.anchor, None);
    let answer = dialer.ask(proxy.attestation, CHALLENGE).await.unwrap();
    assert_eq!(answer.refusal(), (401, "no-client-key".into()));
    let refused = dialer.ask(proxy.gateway, CHALLENGE).await.unwrap_err();
    assert!(refused.contains("CertificateRequired"), "{refused}");
}

/// A client that obeys the handshake shows nothing when only P-256 is asked for,
/// and one that shows its key all the same is thrown out.
#[tokio::test]
async fn only_p256_keys_are_taken() {
    let proxy = Proxy::start(Setup::default()).await;
    for (what, key) in [
        ("RSA", Identity::of(&rcgen::PKCS_RSA_SHA256)),
        ("P-384", Identity::of(&rcgen::PKCS_ECDSA_P384_SHA384)),
        ("Ed25519", Identity::of(&rcgen::PKCS_ED25519)),
    ] {
        let answer = proxy.dialer(&key).ask(proxy.attestation, CHALLENGE).await.unwrap();
        assert_eq!(answer.refusal(), (401, "no-client-key".into()), "{what}");
        for port in [proxy.attestation, proxy.gateway] {
            let stubborn = Dialer::new(&proxy.anchor, Some(key.stubborn()));
            let refused = stubborn.ask(port, CHALLENGE).await.unwrap_err();
            assert!(refused.starts_with("received fatal alert: "), "{what}: {refused}");
        }
    }
    let answer = proxy.dialer(&Identity::p256()).ask(proxy.attestation, CHALLENGE).await.unwrap();
    assert_eq!(answer.status, 200);
}

/// Nothing in the certificate counts but the key: that is what a document is for.
#[tokio::test]
async fn the_attestation_port_believes_no_names() {
    let proxy = Proxy::start(Setup::default()).await;
    let pretender = Identity::server("admin.proxy.test");
    let answer = proxy.dialer(&pretender).ask(proxy.attestation, CHALLENGE).await.unwrap();
    assert_eq!(answer.status, 200);
}

/// A certificate whose key the client does not hold.
#[tokio::test]
async fn a_borrowed_certificate_fails_the_handshake() {
    let proxy = Proxy::start(Setup::default()).await;
    let (victim, thief) = (Identity::p256(), Identity::p256());
    let dialer = Dialer::new(&proxy.anchor, Some(thief.under(vec![victim.certificate().clone()])));
    let refused = dialer.ask(proxy.attestation, CHALLENGE).await.unwrap_err();
    assert!(refused.contains("DecryptError"), "{refused}");
}

/// Bytes that are no TLS cost a connection and nothing else.
#[tokio::test]
async fn plain_http_is_no_handshake() {
    use tokio::io::AsyncWriteExt;
    let proxy = Proxy::start(Setup::default()).await;
    for port in [proxy.attestation, proxy.gateway] {
        let mut stream = tokio::net::TcpStream::connect(port).await.unwrap();
        stream.write_all(CHALLENGE).await.unwrap();
        let ended = countersign_e2e::read_to_end(&mut stream).await;
        let said = ended.unwrap_or_default();
        assert!(!said.starts_with(b"HTTP/"), "{said:?}");
    }
    proxy.enclave("payments-1.0").await.attest(1, |_| ()).await.grant();
}
