//! Who may open what: each refusal with its own code.

use std::{net::IpAddr, time::Duration};

use countersign_protocol::SessionId;
use rcgen::KeyPair;

use super::rig::{Enclave, Rig, VALID, connect, destination};
use crate::{gateway::GatewayConfig, policy::Limits, session::EndReason};

#[tokio::test]
async fn refusals_have_their_own_codes() {
    let closed = {
        let (listener, target) = destination().await;
        drop(listener);
        target
    };
    let rig =
        named(&["metadata.test:80", "home.test:80", "nowhere.invalid:80", "multicast.test:80", &closed])
            .await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    for (target, code) in [
        ("unknown.example:443", "destination-denied"),
        ("metadata.test:81", "destination-denied"),
        ("sub.metadata.test:80", "destination-denied"),
        ("169.254.169.254:80", "destination-denied"),
        ("2852039166:80", "destination-denied"),
        ("metadata.test", "bad-destination"),
        ("metadata.test:99999", "bad-destination"),
        ("METADATA.test.:80", "address-denied"),
        ("home.test:80", "address-denied"),
        ("multicast.test:80", "address-denied"),
        ("nowhere.invalid:80", "resolve-failed"),
        (&closed, "unreachable"),
    ] {
        let answer = connect(&mut client, target).await.unwrap();
        assert_eq!(answer.code(), code, "{target}");
    }
}

#[tokio::test]
async fn a_mapped_address_is_what_it_carries() {
    let rig = named(&["mapped.test:80"]).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    assert_eq!(connect(&mut client, "mapped.test:80").await.unwrap().code(), "address-denied");
}

#[tokio::test]
async fn the_proxys_own_listener_is_reached_by_no_name() {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = format!("127.0.0.1:{port}");
    let name = format!("own.test:{port}");
    let config = GatewayConfig {
        own_addresses: vec![format!("0.0.0.0:{port}").parse().unwrap()],
        static_hosts: [("own.test".to_owned(), vec![local_address()])].into(),
        ..Default::default()
    };
    let rig = Rig::with(&[&name, &target], config, Limits::default()).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    assert_eq!(connect(&mut client, &name).await.unwrap().code(), "address-denied");
    assert_eq!(connect(&mut client, &target).await.unwrap().code(), "address-denied", "named literally");
}

/// The admin port listens on loopback. A workload that may reach everything on loopback, and names the port by a name,
/// by its address or in another spelling of it, still does not.
#[tokio::test]
async fn the_admin_port_is_no_destination() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let targets =
        [format!("admin.test:{port}"), format!("127.0.0.1:{port}"), format!("[::ffff:127.0.0.1]:{port}")];
    let config = GatewayConfig {
        own_addresses: vec![listener.local_addr().unwrap()],
        static_hosts: [("admin.test".to_owned(), vec!["127.0.0.1".parse().unwrap()])].into(),
        ..Default::default()
    };
    let rig = Rig::with(&[&targets[0], &targets[1]], config, Limits::default()).await;
    let mut client = rig.connect(&rig.enclave(60), b"http/1.1").await.unwrap();
    for target in &targets {
        assert_eq!(connect(&mut client, target).await.unwrap().code(), "address-denied", "{target}");
    }
    let knocked = listener.into_std().unwrap().accept();
    assert_eq!(knocked.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody may even knock");
}

#[tokio::test]
async fn a_certificate_for_another_key_cannot_shake_hands() {
    let rig = Rig::new(&["a.test:1"]).await;
    let Enclave { chain, session, .. } = rig.enclave(60);
    let thief = Enclave { key: KeyPair::generate().unwrap(), chain, session };
    let config =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rig.client_config(&thief, b"http/1.1")));
    // rustls does not even let its own client try; a hostile one fails at CertificateVerify.
    assert!(config.is_err());
}

#[tokio::test]
async fn a_genuine_certificate_that_names_anothers_session_is_refused() {
    let rig = Rig::new(&["a.test:1"]).await;
    let victim = rig.enclave(60);
    let key = KeyPair::generate().unwrap();
    let chain = vec![rig.certificate(&key, victim.session.id(), VALID)];
    let thief = Enclave { key, chain, session: victim.session };
    let mut client = rig.connect(&thief, b"http/1.1").await.unwrap();
    assert_eq!(connect(&mut client, "a.test:1").await.unwrap().code(), "key-mismatch");
}

#[tokio::test]
async fn without_a_record_there_is_no_way_through() {
    let rig = Rig::new(&["a.test:1"]).await;
    let mut enclave = rig.enclave(60);
    let unknown = SessionId::from_bytes([9; 16]);
    enclave.chain = vec![rig.certificate(&enclave.key, unknown, VALID)];
    let mut client = rig.connect(&enclave, b"http/1.1").await.unwrap();
    assert_eq!(connect(&mut client, "a.test:1").await.unwrap().code(), "no-session");

    let ended = rig.enclave(60);
    rig.sessions.end(&ended.session.id(), EndReason::EndedByAdmin);
    let mut client = rig.connect(&ended, b"http/1.1").await.unwrap();
    assert_eq!(connect(&mut client, "a.test:1").await.unwrap().code(), "session-ended");
}

#[tokio::test]
async fn an_expired_certificate_cannot_shake_hands() {
    let rig = Rig::new(&["a.test:1"]).await;
    let mut enclave = rig.enclave(60);
    // It ended an hour ago.
    enclave.chain = vec![rig.certificate(&enclave.key, enclave.session.id(), Duration::ZERO)];
    let mut client = rig.connect(&enclave, b"http/1.1").await.unwrap();
    let error = connect(&mut client, "a.test:1").await.unwrap_err();
    assert!(error.to_string().contains("CertificateExpired"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_ca_cannot_shake_hands() {
    let rig = Rig::new(&["a.test:1"]).await;
    let other = Rig::new(&["a.test:1"]).await;
    let foreign = other.enclave(60);
    let mut client = rig.connect(&foreign, b"http/1.1").await.unwrap();
    let error = connect(&mut client, "a.test:1").await.unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
}

#[tokio::test]
async fn a_session_has_as_many_tunnels_as_it_may() {
    let (_listener, target) = destination().await;
    let limits = Limits { max_tunnels_per_session: 1, ..Limits::default() };
    let rig = Rig::with(&[&target], GatewayConfig::default(), limits).await;
    let enclave = rig.enclave(60);
    let _first = rig.tunnel(&enclave, &target).await;
    let mut second = rig.connect(&enclave, b"http/1.1").await.unwrap();
    assert_eq!(connect(&mut second, &target).await.unwrap().code(), "too-many-tunnels");
}

#[tokio::test]
async fn a_lapsed_lease_says_so_on_a_standing_connection() {
    // Restored with a lease that ends while the connection stands; no loop runs in this rig's registry.
    let rig = Rig::new(&["a.test:1"]).await;
    let enclave = rig.enclave(60);
    let mut client = rig.connect(&enclave, b"http/1.1").await.unwrap();
    assert_eq!(connect(&mut client, "b.test:1").await.unwrap().code(), "destination-denied");
    rig.sessions.lapse(enclave.session.lease_ends());
    let gone = connect(&mut client, "a.test:1").await;
    // The gateway closes an idle connection of an ended session; a request already on its way is told.
    match gone {
        Ok(answer) => assert_eq!(answer.code(), "lease-lapsed"),
        Err(error) => assert!(
            matches!(
                error.kind(),
                std::io::ErrorKind::UnexpectedEof
                    | std::io::ErrorKind::ConnectionReset
                    | std::io::ErrorKind::BrokenPipe
            ),
            "{error}"
        ),
    }
}

#[tokio::test]
async fn a_revocation_between_registering_and_connecting_opens_nothing() {
    // A listener whose backlog is full lets the dial hang, as a slow destination would.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let mut fillers = Vec::new();
    while let Ok(Ok(filler)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(&target)).await
    {
        fillers.push(filler);
    }
    let rig = Rig::new(&[&target]).await;
    let enclave = rig.enclave(60);
    let mut client = rig.connect(&enclave, b"http/1.1").await.unwrap();
    let asking = tokio::spawn(async move { connect(&mut client, &target).await.unwrap() });
    while enclave.session.view().tunnels == 0 {
        tokio::task::yield_now().await;
    }
    let ended = rig.sessions.end(&enclave.session.id(), EndReason::MeasurementRevoked);
    assert_eq!(ended.tunnels, 1, "registered before it dials");
    assert_eq!(asking.await.unwrap().code(), "measurement-revoked");
    assert_eq!(enclave.session.view().tunnels, 0);
}

/// Names that lead to special places.
async fn named(destinations: &[&str]) -> Rig {
    let host = |name: &str, address: &str| (name.to_owned(), vec![address.parse::<IpAddr>().unwrap()]);
    let static_hosts = [
        host("metadata.test", "169.254.169.254"),
        host("home.test", "127.0.0.1"),
        host("multicast.test", "224.0.0.1"),
        host("mapped.test", "::ffff:169.254.169.254"),
    ];
    let config = GatewayConfig { static_hosts: static_hosts.into(), ..Default::default() };
    Rig::with(destinations, config, Limits::default()).await
}

/// An address of this machine that is not loopback, if it has one; else loopback, which is denied as such.
fn local_address() -> IpAddr {
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // Connecting a UDP socket sends nothing: it asks the routing table.
    match probe.connect("192.0.2.1:9") {
        Ok(()) => probe.local_addr().unwrap().ip(),
        Err(_) => IpAddr::from([127, 0, 0, 1]),
    }
}
