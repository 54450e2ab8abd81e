//! A session certificate opens nothing by itself: it needs its key, its record,
//! and a lease.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use countersign_e2e::{Dialer, Identity, Proxy, Setup, Upstream, gateway, round_trip};
use rustls_pki_types::CertificateDer;

#[tokio::test]
async fn a_session_opens_tunnels_over_both_protocols() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::start(Setup::to(&[echo])).await;
    let session = proxy.admitted("payments-1.0").await;
    let mut tunnel = proxy.open(&session.dialer, &echo.to_string()).await.unwrap();
    round_trip(&mut tunnel, b"through the gate").await;

    let mut send = gateway::open_h2(proxy.gateway, &session.dialer).await.unwrap();
    let connect = http::Request::connect(echo.to_string()).body(()).unwrap();
    let (answer, mut stream) = send.send_request(connect, false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    stream.send_data("and again".into(), true).unwrap();
    assert_eq!(answer.into_body().data().await.unwrap().unwrap(), "and again");
}

/// The thief has the certificate and not K: he cannot sign the handshake.
#[tokio::test]
async fn a_stolen_certificate_is_useless_from_another_key() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::start(Setup::to(&[echo])).await;
    let session = proxy.admitted("payments-1.0").await;
    let thief = gateway::session_dialer(&proxy.anchor, &Identity::p256(), &session.grant);
    let target = format!("CONNECT {echo} HTTP/1.1\r\nhost: {echo}\r\n\r\n");
    let refused = thief.ask(proxy.gateway, target.as_bytes()).await.unwrap_err();
    // RFC 8446 section 4.4.3: "terminate the handshake with a "decrypt_error" alert".
    assert!(refused.contains("DecryptError"), "{refused}");
    proxy.open(&session.dialer, &echo.to_string()).await.unwrap();
}

/// K alone is not enough either: the gateway wants the session CA's word.
#[tokio::test]
async fn a_self_signed_certificate_over_an_admitted_key_is_refused() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::start(Setup::to(&[echo])).await;
    let session = proxy.admitted("payments-1.0").await;
    let target = format!("CONNECT {echo} HTTP/1.1\r\nhost: {echo}\r\n\r\n");
    let refused = proxy.dialer(&session.enclave.key).ask(proxy.gateway, target.as_bytes()).await.unwrap_err();
    assert!(refused.contains("UnknownCA") || refused.contains("UnknownIssuer"), "{refused}");
}

/// A certificate of another installation. All session roots bear one name, so
/// what fails is the signature under the root here (RFC 8446 section 6.2).
#[tokio::test]
async fn a_certificate_of_another_proxy_is_refused() {
    let echo = Upstream::echo().await;
    let here = Proxy::start(Setup::to(&[echo])).await;
    let there = Proxy::start(Setup::to(&[echo])).await;
    let session = there.admitted("payments-1.0").await;
    let dialer = Dialer { anchor: here.anchor.clone(), ..session.dialer };
    let target = format!("CONNECT {echo} HTTP/1.1\r\nhost: {echo}\r\n\r\n");
    let refused = dialer.ask(here.gateway, target.as_bytes()).await.unwrap_err();
    assert!(refused.contains("DecryptError"), "{refused}");
}

/// The issuing intermediate comes with the grant: it is no client's certificate.
#[tokio::test]
async fn the_issuer_certificate_is_no_session() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::start(Setup::to(&[echo])).await;
    let session = proxy.admitted("payments-1.0").await;
    let issuer: Vec<CertificateDer<'static>> = gateway::chain(&session.grant).split_off(1);
    let dialer = Dialer::new(&proxy.anchor, Some(session.enclave.key.under(issuer)));
    let target = format!("CONNECT {echo} HTTP/1.1\r\nhost: {echo}\r\n\r\n");
    assert!(dialer.ask(proxy.gateway, target.as_bytes()).await.is_err());
}

#[tokio::test]
async fn no_lease_no_tunnel_and_the_open_one_is_cut() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::start(Setup::to(&[upstream.address])).await;
    let session = proxy.admitted("payments-1.0").await;
    let target = upstream.address.to_string();
    let mut tunnel = proxy.open(&session.dialer, &target).await.unwrap();
    let mut far_end = upstream.accept().await;

    proxy.pass(Duration::from_secs(30)).await;
    assert!(countersign_e2e::read_to_end(&mut tunnel).await.is_err(), "reset, not closed");
    assert!(countersign_e2e::read_to_end(&mut far_end).await.is_err(), "reset, not closed");

    // The certificate's own time goes by the wall clock: the record decides alone.
    let refused = proxy.open(&session.dialer, &target).await.unwrap_err();
    assert_eq!(refused, (401, "lease-lapsed".into()));
}

#[tokio::test]
async fn a_lease_that_was_renewed_goes_on() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::start(Setup::to(&[echo])).await;
    let mut session = proxy.admitted("payments-1.0").await;
    let mut tunnel = proxy.open(&session.dialer, &echo.to_string()).await.unwrap();
    // Longer than one lease in all; each step shorter than a store may be silent.
    for sequence in 2..7 {
        proxy.pass(Duration::from_secs(10)).await;
        round_trip(&mut tunnel, b"still there").await;
        proxy.settle().await;
        let renewed = session.enclave.attest(sequence, |_| ()).await.grant();
        assert_eq!(renewed.session, session.grant.session);
    }
}

#[tokio::test]
async fn a_session_has_a_bound_of_tunnels() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::start(Setup { max_tunnels: 2, ..Setup::to(&[echo]) }).await;
    let session = proxy.admitted("payments-1.0").await;
    let target = echo.to_string();
    let first = proxy.open(&session.dialer, &target).await.unwrap();
    let _second = proxy.open(&session.dialer, &target).await.unwrap();
    let refused = proxy.open(&session.dialer, &target).await.unwrap_err();
    assert_eq!(refused, (429, "too-many-tunnels".into()));
    // Another session is not concerned.
    let other = proxy.admitted("payments-1.0").await;
    proxy.open(&other.dialer, &target).await.unwrap();
    drop(first);
}
