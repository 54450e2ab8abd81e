//! The real client against the real proxy: cut off, restarted, revoked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use countersign_e2e::{Forwarder, Proxy, RealClient, Setup, Upstream, read_to_end, round_trip};
use tokio::time::Instant;

#[tokio::test]
async fn an_application_reaches_what_its_manifest_names_and_nothing_else() {
    let (echo, other) = (Upstream::echo().await, Upstream::echo().await);
    let proxy = Proxy::start(Setup::to(&[echo, other])).await;
    let client = RealClient::start(&proxy, "payments-1.0", proxy.attestation, proxy.gateway, &[echo]).await;
    client.attested().await;
    round_trip(&mut client.open(echo).await.unwrap(), b"hello").await;
    let refused = client.open(other).await.unwrap_err();
    assert_eq!(refused.refusal(), (403, "destination-denied".into()));
}

#[tokio::test]
async fn a_refused_enclave_tells_its_application_why() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::start(Setup::to(&[echo])).await;
    let image = "payments-unreviewed";
    let client = RealClient::start(&proxy, image, proxy.attestation, proxy.gateway, &[echo]).await;
    let told = async {
        loop {
            let refused = client.open(echo).await.unwrap_err().refusal();
            if refused.1 != "not-attested" {
                return refused;
            }
            tokio::task::yield_now().await;
        }
    };
    let refused = tokio::time::timeout(countersign_e2e::PATIENCE, told).await.unwrap();
    assert_eq!(refused, (503, "pcr-mismatch".into()));
}

/// The attestation connection is only a way to renew: when it is cut, tunnels
/// stay, new ones open, and the same session renews over another connection.
#[tokio::test]
async fn a_session_survives_its_attestation_connection() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::start(Setup::to(&[echo])).await;
    let network = Forwarder::start(proxy.attestation).await;
    let client = RealClient::start(&proxy, "payments-1.0", network.address, proxy.gateway, &[echo]).await;
    let first = client.attested().await;
    let mut tunnel = client.open(echo).await.unwrap();
    let before = network.carried();

    network.cut();
    round_trip(&mut tunnel, b"still open").await;
    round_trip(&mut client.open(echo).await.unwrap(), b"and another").await;

    // The interval is 15 s ± 10 %.
    proxy.pass(Duration::from_secs(17)).await;
    network.carries_more_than(before).await;
    let second = client.attested_after(first.until()).await;
    assert_eq!(second.session, first.session);
    round_trip(&mut tunnel, b"under a new lease").await;
}

/// The network is gone for longer than a lease: everything ends, and comes back by itself.
#[tokio::test]
async fn a_client_that_lost_its_lease_comes_back() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::start(Setup::to(&[echo])).await;
    let network = Forwarder::start(proxy.attestation).await;
    let client = RealClient::start(&proxy, "payments-1.0", network.address, proxy.gateway, &[echo]).await;
    let first = client.attested().await;
    let mut tunnel = client.open(echo).await.unwrap();
    round_trip(&mut tunnel, b"open").await;

    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    network.lead_to(nowhere);
    network.cut();
    proxy.pass(Duration::from_secs(31)).await;
    assert!(read_to_end(&mut tunnel).await.is_err(), "reset, not closed");
    let (status, _) = client.open(echo).await.unwrap_err().refusal();
    assert_eq!(status, 503);

    network.lead_to(proxy.attestation);
    proxy.pass(Duration::from_secs(31)).await;
    let second = client.attested_after(first.until().max(Instant::now())).await;
    assert_ne!(second.session, first.session);
    round_trip(&mut client.open_again(echo).await, b"back").await;
}

/// A proxy that stops and comes back, elsewhere: its sessions are in the store.
#[tokio::test]
async fn a_client_survives_a_restart_of_the_proxy() {
    let echo = Upstream::echo().await;
    let mut proxy = Proxy::program(Setup::to(&[echo]), env!("CARGO_BIN_EXE_e2e-proxy")).await;
    let attestation = Forwarder::start(proxy.attestation).await;
    let gateway = Forwarder::start(proxy.gateway).await;
    let client =
        RealClient::start(&proxy, "payments-1.0", attestation.address, gateway.address, &[echo]).await;
    let first = client.attested().await;
    round_trip(&mut client.open(echo).await.unwrap(), b"before").await;

    proxy.terminate();
    assert!(proxy.ended().await.success());
    let proxy = proxy.start_again().await;
    attestation.lead_to(proxy.attestation);
    gateway.lead_to(proxy.gateway);
    round_trip(&mut client.open_again(echo).await, b"after").await;

    proxy.pass(Duration::from_secs(17)).await;
    let second = client.attested_after(first.until()).await;
    assert_eq!(second.session, first.session, "restored from the store");
}

#[tokio::test]
async fn a_revocation_reaches_the_application() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::start(Setup::to(&[upstream.address])).await;
    let to = upstream.address;
    let client = RealClient::start(&proxy, "payments-1.0", proxy.attestation, proxy.gateway, &[to]).await;
    client.attested().await;
    let mut tunnel = client.open(to).await.unwrap();
    let mut far_end = upstream.accept().await;

    proxy.commit_revocation("payments", "1.0").await;
    assert!(read_to_end(&mut far_end).await.is_err(), "reset, not closed");
    assert!(read_to_end(&mut tunnel).await.is_err(), "reset, not closed");
    assert_eq!(client.open(to).await.unwrap_err().refusal(), (503, "measurement-revoked".into()));
    assert!(upstream.is_untouched());
}
