//! Sessions that stand on other replicas, a store that is silent, and when an end
//! is really over.

use std::{mem::MaybeUninit, sync::Arc, time::Duration};

use countersign_protocol::{KeyThumbprint, SessionId};
use rcgen::PublicKeyData;
use socket2::SockRef;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};

use super::{
    http2,
    rig::{Enclave, Rig, VALID, connect, destination},
};
use crate::{
    config::MeasurementState,
    gateway::GatewayConfig,
    policy::{
        Limits, PolicyHandle,
        fake::{FakeStore, policy, row},
    },
    replica::{Elsewhere, Neighbours},
    session::EndReason,
};

#[tokio::test]
async fn a_session_of_another_replica_opens_tunnels_over_both_protocols() {
    let (_listener, target) = destination().await;
    let (rig, store) = replicas(&[&target]).await;
    let enclave = elsewhere(&rig, &store, elsewhere_id());
    let _tunnel = rig.tunnel(&enclave, &target).await;
    let (mut requests, _connection) = http2::open(&rig, &enclave).await;
    let _stream = http2::tunnel(&mut requests, &target).await;
    assert_eq!(store.asked(), 1, "it is known by then");
    assert_eq!(rig.sessions.find(&elsewhere_id()).unwrap().view().tunnels, 2);

    // It is cut here like any other.
    let ended = rig.sessions.end_where(EndReason::MeasurementRevoked, |_| true);
    assert_eq!((ended.sessions, ended.tunnels), (1, 2));
}

#[tokio::test]
async fn a_certificate_that_names_anothers_session_elsewhere_is_refused() {
    let (rig, store) = replicas(&["a.test:1"]).await;
    let victim = elsewhere(&rig, &store, elsewhere_id());
    let thief = gone(&rig);
    let chain = vec![rig.certificate(&thief.key, elsewhere_id(), VALID)];
    let mut client = rig.connect(&Enclave { chain, ..thief }, b"http/1.1").await.unwrap();
    assert_eq!(connect(&mut client, "a.test:1").await.unwrap().code(), "key-mismatch");
    assert!(rig.sessions.is_empty());
    drop(victim);
}

/// A store that fails is not the same as a session that is none: the enclave must
/// not attest anew for it.
#[tokio::test]
async fn a_session_that_cannot_be_looked_up_is_told_to_come_again() {
    let (_listener, target) = destination().await;
    let (rig, store) = replicas(&[&target]).await;
    let enclave = elsewhere(&rig, &store, elsewhere_id());
    store.fail(true);
    let mut client = rig.connect(&enclave, b"http/1.1").await.unwrap();
    assert_eq!(connect(&mut client, &target).await.unwrap().code(), "stale");
    let (mut requests, _connection) = http2::open(&rig, &enclave).await;
    let (problem, status) = http2::refused(&mut requests, http2::connect_to(&target)).await;
    assert_eq!((status, &*problem.code), (503, "stale"));
    store.fail(false);
    let _tunnel = rig.tunnel(&enclave, &target).await;
}

#[tokio::test]
async fn a_session_that_no_replica_has_is_asked_for_once() {
    let (rig, store) = replicas(&["a.test:1"]).await;
    let mut stranger = gone(&rig);
    stranger.chain = vec![rig.certificate(&stranger.key, elsewhere_id(), VALID)];
    for _ in 0..5 {
        let mut client = rig.connect(&stranger, b"http/1.1").await.unwrap();
        assert_eq!(connect(&mut client, "a.test:1").await.unwrap().code(), "no-session");
    }
    assert_eq!(store.asked(), 1);
    // Without the key there is no question at all.
    let asked = store.asked();
    let mut tcp = TcpStream::connect(rig.address).await.unwrap();
    tcp.write_all(b"no TLS at all").await.unwrap();
    drop(tcp);
    assert_eq!(store.asked(), asked);
}

#[tokio::test]
async fn a_silent_store_lets_open_tunnels_be_and_opens_nothing_new() {
    let (_listener, target) = destination().await;
    let rig =
        Rig::standing(&[&target], GatewayConfig::default(), Limits::default(), |_, _| Elsewhere::Nowhere)
            .await;
    let enclave = rig.enclave(600);
    let _open = rig.tunnel(&enclave, &target).await;
    let mut warm = rig.connect(&enclave, b"http/1.1").await.unwrap();
    tokio::time::pause();
    tokio::time::advance(PolicyHandle::STALE_AFTER + Duration::from_millis(1)).await;
    tokio::time::resume();
    assert_eq!(connect(&mut warm, &target).await.unwrap().code(), "stale");
    let (mut requests, _connection) = http2::open(&rig, &enclave).await;
    let (problem, status) = http2::refused(&mut requests, http2::connect_to(&target)).await;
    assert_eq!((status, &*problem.code), (503, "stale"));
    assert_eq!(enclave.session.view().tunnels, 1);
    rig.policy.seen(Instant::now());
    assert_eq!(connect(&mut warm, &target).await.unwrap().code(), "open");
}

/// What stands in buffers when a session ends goes with it: once everything has let
/// go, the kernel has reset both ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_an_end_is_over_its_sockets_are_gone() {
    let (listener, target) = destination().await;
    let rig = Rig::new(&[&target]).await;
    let enclave = rig.enclave(600);
    let own = rig.tunnel(&enclave, &target).await;
    let (own_far, _) = listener.accept().await.unwrap();
    let (mut requests, connection) = http2::open(&rig, &enclave).await;
    let stream = http2::tunnel(&mut requests, &target).await;
    let (stream_far, _) = listener.accept().await.unwrap();
    // Nobody reads at the client's end of the stream, so that its connection's buffers are full.
    let mut flood = stream_far.into_std().unwrap();
    tokio::task::block_in_place(|| fill(&mut flood));

    rig.sessions.end(&enclave.session.id(), EndReason::MeasurementRevoked);
    tokio::time::timeout(Duration::from_secs(5), rig.sessions.let_go()).await.expect("an end that is over");
    for (what, socket) in [
        ("the client", SockRef::from(own.get_ref().0)),
        ("its destination", SockRef::from(&own_far)),
        ("the stream's destination", SockRef::from(&flood)),
    ] {
        assert!(is_over(&socket), "{what}");
    }
    drop((stream, connection));
}

/// A gateway whose policy is fresh, and whose sessions may stand in this store.
async fn replicas(destinations: &[&str]) -> (Rig, Arc<FakeStore>) {
    let store = FakeStore::new(policy(1, &[("v1", 1, MeasurementState::Active, 1)]));
    let (config, limits) = (GatewayConfig::default(), Limits::default());
    let shared = Arc::clone(&store);
    let rig = Rig::standing(destinations, config, limits, |policy, sessions| {
        Elsewhere::Replicas(Arc::new(Neighbours::new(shared, policy, sessions)))
    })
    .await;
    rig.keep_fresh();
    (rig, store)
}

/// An enclave that another replica admitted.
fn elsewhere(rig: &Rig, store: &FakeStore, id: SessionId) -> Enclave {
    let mut enclave = gone(rig);
    enclave.chain = vec![rig.certificate(&enclave.key, id, VALID)];
    let mut row = row(0, 0, 1);
    row.id = id;
    row.key = KeyThumbprint::of_spki(&enclave.key.subject_public_key_info());
    store.says().sessions.insert(id, row);
    enclave
}

/// An enclave without a session here.
fn gone(rig: &Rig) -> Enclave {
    let enclave = rig.enclave(60);
    rig.sessions.end(&enclave.session.id(), EndReason::EndedByAdmin);
    enclave
}

/// Writes until nothing goes any more.
fn fill(socket: &mut std::net::TcpStream) {
    socket.set_nonblocking(false).unwrap();
    socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    while std::io::Write::write(socket, &[7; 64 * 1024]).is_ok() {}
    socket.set_nonblocking(true).unwrap();
}

/// Whether the other end has ended this connection, as the kernel knows now.
fn is_over(socket: &SockRef<'_>) -> bool {
    let mut byte = [MaybeUninit::uninit(); 4096];
    loop {
        match socket.recv(&mut byte) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

fn elsewhere_id() -> SessionId {
    SessionId::from_bytes([0xe1; 16])
}
