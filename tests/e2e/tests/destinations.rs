//! Where a tunnel leads: exact destinations, and address rules for what a name
//! resolves to. `docs/`, facts of Enclaver: "ways round its policy".
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use countersign_e2e::{Proxy, Setup, Upstream, round_trip};
use countersign_protocol::Destination;

/// A name in somebody else's zone leads to the metadata service: denied, and
/// nobody was dialled.
#[tokio::test]
async fn a_rebound_name_reaches_no_special_address() {
    let mut upstream = Upstream::start().await;
    let port = upstream.address.port();
    let hosts = vec![
        ("metadata.evil.test", "169.254.169.254"),
        ("mapped.evil.test", "::ffff:169.254.169.254"),
        ("metadata6.evil.test", "fd00:ec2::254"),
        ("nat64.evil.test", "64:ff9b::a9fe:a9fe"),
        ("loopback.evil.test", "127.0.0.1"),
        ("loopback6.evil.test", "::1"),
        ("nowhere.evil.test", "0.0.0.0"),
    ];
    let destinations = hosts.iter().map(|(name, _)| format!("{name}:{port}")).collect();
    let proxy = Proxy::start(Setup { destinations, hosts: hosts.clone(), ..Setup::default() }).await;
    let session = proxy.admitted("payments-1.0").await;
    for (name, address) in hosts {
        let refused = proxy.open(&session.dialer, &format!("{name}:{port}")).await.unwrap_err();
        assert_eq!(refused, (403, "address-denied".into()), "{name} at {address}");
    }
    assert!(upstream.is_untouched());
}

/// The same name, and a workload that names the address: the only way.
#[tokio::test]
async fn a_special_address_that_is_named_is_reached() {
    let echo = Upstream::echo().await;
    let target = format!("vault.test:{}", echo.port());
    let proxy = Proxy::start(Setup {
        destinations: vec![target.clone()],
        hosts: vec![("vault.test", "127.0.0.1")],
        addresses: vec!["127.0.0.1/32"],
        ..Setup::default()
    })
    .await;
    let session = proxy.admitted("payments-1.0").await;
    let mut tunnel = proxy.open(&session.dialer, &target).await.unwrap();
    round_trip(&mut tunnel, b"hello").await;
    // A trailing dot and capitals are the same destination, not a way round.
    proxy.open(&session.dialer, &target.replace("vault.test", "VAULT.test.")).await.unwrap();
}

#[tokio::test]
async fn what_is_not_listed_is_denied() {
    let mut upstream = Upstream::start().await;
    let port = upstream.address.port();
    let proxy = Proxy::start(Setup {
        destinations: vec![format!("vault.test:{port}")],
        hosts: vec![("vault.test", "127.0.0.1")],
        addresses: vec!["127.0.0.1/32"],
        ..Setup::default()
    })
    .await;
    let session = proxy.admitted("payments-1.0").await;
    for target in [
        format!("127.0.0.1:{port}"),
        format!("a.vault.test:{port}"),
        format!("vault.test.evil.test:{port}"),
        "vault.test:1".to_owned(),
        format!("localhost:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
    ] {
        let refused = proxy.open(&session.dialer, &target).await.unwrap_err();
        assert_eq!(refused, (403, "destination-denied".into()), "{target}");
    }
    assert!(upstream.is_untouched());
}

/// Spellings that some resolvers take for 169.254.169.254 are that address here
/// too, and not a name that a list of names could let through.
#[tokio::test]
async fn odd_spellings_are_the_address_they_mean() {
    let proxy = Proxy::start(Setup::default()).await;
    let session = proxy.admitted("payments-1.0").await;
    for target in ["2852039166:80", "0xa9fea9fe:80", "0251.0376.0251.0376:80", "169.254.169.254.:80"] {
        assert_eq!(target.parse::<Destination>(), "169.254.169.254:80".parse(), "{target}");
        let refused = proxy.open(&session.dialer, target).await.unwrap_err();
        assert_eq!(refused, (403, "destination-denied".into()), "{target}");
    }
}

#[tokio::test]
async fn what_is_no_host_and_port_is_no_destination() {
    let proxy = Proxy::start(Setup::default()).await;
    let session = proxy.admitted("payments-1.0").await;
    for target in ["vault.test", "vault.test:0", "vault.test:65536", "vault..test:80", "user@vault.test:80"] {
        let refused = proxy.open(&session.dialer, target).await.unwrap_err();
        assert_eq!(refused, (400, "bad-destination".into()), "{target}");
    }
}

#[tokio::test]
async fn an_unreachable_destination_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::start(Setup {
        destinations: vec![closed.to_string(), "no-such-host.invalid:443".into()],
        ..Setup::default()
    })
    .await;
    let session = proxy.admitted("payments-1.0").await;
    let refused = proxy.open(&session.dialer, &closed.to_string()).await.unwrap_err();
    assert_eq!(refused, (502, "unreachable".into()));
    let refused = proxy.open(&session.dialer, "no-such-host.invalid:443").await.unwrap_err();
    assert_eq!(refused, (502, "resolve-failed".into()));
}

/// A closed half travels through: whoever has said everything can still listen.
#[tokio::test]
async fn half_close_travels_both_ways() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::start(Setup::to(&[upstream.address])).await;
    let session = proxy.admitted("payments-1.0").await;
    let mut tunnel = proxy.open(&session.dialer, &upstream.address.to_string()).await.unwrap();
    let mut far_end = upstream.accept().await;

    tunnel.write_all(b"question").await.unwrap();
    tunnel.shutdown().await.unwrap();
    let mut question = Vec::new();
    far_end.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    far_end.write_all(b"answer").await.unwrap();
    drop(far_end);
    assert_eq!(countersign_e2e::read_to_end(&mut tunnel).await.unwrap(), b"answer");
}
