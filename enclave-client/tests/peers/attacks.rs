//! Attacks on the exchange, each of which fails for a reason of its own.

use std::{collections::BTreeMap, sync::Arc};

use countersign_enclave::{key::EnclaveKey, peers::PeerIdentity};
use countersign_protocol::{
    Nonce,
    peer::{PEER_ALPN, PeerMeasurement, PeerMessage, frame},
};
use countersign_simulator::{Module, SoftwareNsm};
use rustls::{ClientConfig, RootCertStore};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional, duplex},
    net::{TcpListener, UnixListener, UnixStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{
    party::Party,
    rig::{Callee, Caller, Directory, World, config},
    road::Road,
};

fn modules() -> (Module, Module) {
    (Module::from_image("driver"), Module::from_image("worker"))
}

/// A driver and a worker that name each other.
fn pair(world: &World) -> (Party, Party) {
    let (driver, worker) = modules();
    let one = Party::new(world, driver.clone(), config(1, &[&worker], &[]));
    let other = Party::new(world, worker, config(1, &[&driver], &[]));
    (one, other)
}

#[tokio::test]
async fn without_an_attack_both_are_proved() {
    let world = World::new();
    let (driver, worker) = pair(&world);
    let (near, far) = duplex(65_536);
    let (one, other) = tokio::join!(driver.dial(near), worker.take(far));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.module_id, other.module_id), (modules().1.module_id, modules().0.module_id));
    assert_eq!((one.measurement.as_str(), one.root), ("release 0", "danger-simulated"));
}

/// Ends TLS on both sides and passes every message on.
async fn relay<N, F>(mallory: &PeerIdentity, near: N, far: F)
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    let (near, far) = tokio::join!(mallory.accept(near), mallory.connect(far));
    let (Ok(mut near), Ok(mut far)) = (near, far) else { return };
    let _ = copy_bidirectional(&mut near.stream, &mut far.stream).await;
}

/// A third enclave whose PCRs are allowed passes on what two others say: it may speak for itself, and for nobody else.
#[tokio::test]
async fn a_relay_is_refused_since_the_evidence_is_about_another_key() {
    let world = World::new();
    let (driver, worker) = pair(&world);
    let mallory = PeerIdentity::generate().unwrap();
    let ((near, from_near), (to_far, far)) = (duplex(65_536), duplex(65_536));
    let (one, other, ()) =
        tokio::join!(driver.dial(near), worker.take(far), relay(&mallory, from_near, to_far));
    assert_eq!(one.unwrap_err().code(), "public-key-mismatch");
    // Whoever is refused first says so; the other sees its own reason or that word.
    let other = other.unwrap_err().code();
    assert!(["public-key-mismatch", "refused-by-peer"].contains(&other), "{other}");
}

/// The relay even holds the worker's key: the evidence is bound to the worker's own connection.
#[tokio::test]
async fn a_relay_with_a_stolen_key_is_refused_since_the_connection_is_another() {
    let world = World::new();
    let (driver, worker) = pair(&world);
    let stolen = PeerIdentity::of(&worker.key).unwrap();
    let as_driver = PeerIdentity::of(&driver.key).unwrap();
    let ((near, from_near), (to_far, far)) = (duplex(65_536), duplex(65_536));
    let between = async {
        let (near, far) = tokio::join!(stolen.accept(from_near), as_driver.connect(to_far));
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        let _ = copy_bidirectional(&mut near.stream, &mut far.stream).await;
    };
    let (one, _, ()) = tokio::join!(driver.dial(near), worker.take(far), between);
    assert_eq!(one.unwrap_err().code(), "user-data-mismatch");
}

#[tokio::test]
async fn an_enclave_that_is_led_to_itself_notices() {
    let world = World::new();
    let (driver, _) = modules();
    let party = Party::new(&world, driver.clone(), config(1, &[&driver], &[]));
    let (near, far) = duplex(65_536);
    let (one, other) = tokio::join!(party.dial(near), party.take(far));
    assert_eq!(one.unwrap_err().code(), "peer-is-itself");
    assert_eq!(other.unwrap_err().code(), "peer-is-itself");
}

/// Its own messages come back to it, from a stranger that holds a key of his own.
#[tokio::test]
async fn a_reflection_is_refused_since_the_evidence_is_ones_own() {
    let world = World::new();
    let (driver, _) = modules();
    let party = Party::new(&world, driver.clone(), config(1, &[&driver], &[]));
    let mallory = PeerIdentity::generate().unwrap();
    let (near, far) = duplex(65_536);
    let mirror = async {
        let mut link = mallory.accept(far).await.unwrap();
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = link.stream.read(&mut buffer).await {
            if link.stream.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    let (refused, ()) = tokio::join!(party.dial(near), mirror);
    // The nonce is its own too, and so is the exporter: the key tells.
    assert_eq!(refused.unwrap_err().code(), "public-key-mismatch");
}

/// The very document that was good a moment ago, shown by whoever holds the key.
#[tokio::test]
async fn a_replayed_document_answers_another_nonce() {
    let world = World::new();
    let (driver, worker) = pair(&world);
    let key = worker.key.clone();
    let recorded = recorded(&driver, &worker).await;
    let thief = PeerIdentity::of(&key).unwrap();
    let (near, far) = duplex(65_536);
    let replay = async {
        let mut link = thief.accept(far).await.unwrap();
        let challenge = PeerMessage::Challenge(Nonce::from_bytes([7; 32]));
        link.stream.write_all(&frame(&challenge)).await.unwrap();
        link.stream.write_all(&recorded).await.unwrap();
        let _ = link.stream.read_to_end(&mut Vec::new()).await;
    };
    let (refused, ()) = tokio::join!(driver.dial(near), replay);
    assert_eq!(refused.unwrap_err().code(), "nonce-mismatch");
}

/// What the worker sends as its proof, by somebody who carries TLS for both with their keys.
async fn recorded(driver: &Party, worker: &Party) -> Vec<u8> {
    let (to_worker, far) = duplex(65_536);
    let reader = PeerIdentity::of(&driver.key).unwrap();
    let reading = async {
        let mut link = reader.connect(to_worker).await.unwrap();
        let challenge = PeerMessage::Challenge(Nonce::from_bytes([9; 32]));
        link.stream.write_all(&frame(&challenge)).await.unwrap();
        let mut last = Vec::new();
        // Its challenge, then its proof.
        for _ in 0..2 {
            let mut header = [0; 4];
            link.stream.read_exact(&mut header).await.unwrap();
            let mut body = vec![0; u32::from_be_bytes(header) as usize];
            link.stream.read_exact(&mut body).await.unwrap();
            last = [&header[..], &body].concat();
        }
        last
    };
    tokio::select! {
        recorded = reading => recorded,
        ended = worker.take(far) => panic!("{ended:?}"),
    }
}

#[tokio::test]
async fn a_message_out_of_turn_and_one_of_impossible_length_end_it() {
    let world = World::new();
    let accepted = frame(&PeerMessage::Accepted(countersign_protocol::Lease::MAX));
    for first in [accepted, vec![0xff; 4], vec![0; 4], frame(&PeerMessage::Proof(b"x"))] {
        let (driver, _) = pair(&world);
        let mallory = PeerIdentity::generate().unwrap();
        let (near, far) = duplex(65_536);
        let send = async {
            let mut link = mallory.accept(far).await.unwrap();
            link.stream.write_all(&first).await.unwrap();
            let _ = link.stream.read_to_end(&mut Vec::new()).await;
        };
        let (refused, ()) = tokio::join!(driver.dial(near), send);
        assert_eq!(refused.unwrap_err().code(), "peer-protocol", "{first:?}");
    }
}

/// Same image, another machine: whoever pins PCR4 means this one.
#[tokio::test]
async fn a_diversion_to_another_machine_is_refused_where_pcr4_is_pinned() {
    let world = World::new();
    let (driver, worker) = modules();
    let elsewhere = worker.clone().with_module_id("i-0123456789abcdef0-enc0123456789abcdef");
    let callers = || config(1, &[&driver], &[]);
    let here = Callee::start(&world, worker.clone(), callers()).await;
    let there = Callee::start(&world, elsewhere, callers()).await;
    let road = Road::to(here.socket.clone()).await;
    let pcr4 = SoftwareNsm::new(&world.root, worker.clone()).describe_pcr(4).unwrap().value;
    let pcrs: BTreeMap<u8, [u8; 48]> =
        worker.pcrs.iter().map(|(index, value)| (*index, *value)).chain([(4, pcr4)]).collect();
    let mut fields = config(1, &[&worker], &[road.address.port()]).fields().clone();
    fields.measurements = vec![PeerMeasurement::new("on that machine", pcrs).unwrap()];
    let pinned = world.signer.sign(countersign_protocol::peer::PeerConfig::new(fields).unwrap());
    let caller = Caller::believing(&world, driver.clone(), &road, &pinned, world.signer.pin()).await;
    caller.open().await.unwrap();
    road.divert(there.socket.clone());
    assert_eq!(caller.refused().await, "pcr-mismatch");
    // Whoever pins the image alone goes where it is led.
    let trusting = Caller::start(&world, driver, &road, &[&worker]).await;
    trusting.open().await.unwrap();
}

#[tokio::test]
async fn an_image_that_is_not_named_is_refused_on_either_side_and_is_told() {
    let world = World::new();
    let (driver, worker) = modules();
    let other = Module::from_image("other");
    let callee = Callee::start(&world, worker.clone(), config(1, &[&driver], &[])).await;
    let road = Road::to(callee.socket.clone()).await;
    let wrong_caller = Caller::start(&world, other.clone(), &road, &[&worker]).await;
    let refused = wrong_caller.open().await.unwrap_err();
    assert_eq!(refused.code(), "refused-by-peer");
    assert!(refused.to_string().contains("pcr-mismatch"), "{refused}");
    let caller_of_another = Caller::start(&world, driver.clone(), &road, &[&other]).await;
    assert_eq!(caller_of_another.refused().await, "pcr-mismatch");
    let debug = Callee::start(&world, worker.clone().debug(), config(1, &[&driver], &[])).await;
    road.divert(debug.socket.clone());
    let caller = Caller::start(&world, driver, &road, &[&worker]).await;
    assert_eq!(caller.refused().await, "debug-mode");
}

#[tokio::test]
async fn documents_of_another_root_are_refused() {
    let (world, forger) = (World::new(), World::new());
    let (driver, worker) = modules();
    let one = Party::new(&world, driver.clone(), config(1, &[&worker], &[]));
    let other = Party::new(&forger, worker, config(1, &[&driver], &[]));
    let (near, far) = duplex(65_536);
    let (one, _) = tokio::join!(one.dial(near), other.take(far));
    assert_eq!(one.unwrap_err().code(), "untrusted-root");
}

#[tokio::test]
async fn a_key_without_a_proof_carries_nothing() {
    let world = World::new();
    let (driver, worker) = modules();
    let callee = Callee::start(&world, worker, config(1, &[&driver], &[])).await;
    let stranger = PeerIdentity::generate().unwrap();
    for opening in [1, 0, b'G'] {
        let stream = UnixStream::connect(&callee.socket).await.unwrap();
        let mut link = stranger.connect(stream).await.unwrap();
        let said = link.stream.write_all(&[opening, b'h', b'i']).await;
        assert!(said.is_ok(), "{opening}");
        // No close_notify: it is dropped, and the application never hears of it.
        let mut rest = Vec::new();
        let _ = link.stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    }
    assert_nobody_came(&callee).await;
}

async fn assert_nobody_came(callee: &Callee) {
    let accepted = tokio::time::timeout(std::time::Duration::ZERO, callee.application.accept()).await;
    assert!(accepted.is_err(), "the application saw a connection");
}

#[tokio::test]
async fn tls_1_2_and_plain_bytes_do_not_come_in() {
    let world = World::new();
    let (driver, worker) = modules();
    let callee = Callee::start(&world, worker, config(1, &[&driver], &[])).await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut old = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    old.alpn_protocols = vec![PEER_ALPN.to_vec()];
    let name = rustls_pki_types::ServerName::try_from("peer").unwrap();
    let stream = UnixStream::connect(&callee.socket).await.unwrap();
    let refused = TlsConnector::from(Arc::new(old)).connect(name, stream).await.unwrap_err();
    let refused = refused.into_inner().unwrap().downcast::<rustls::Error>().unwrap();
    assert_eq!(*refused, rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion));

    let mut plain = UnixStream::connect(&callee.socket).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.unwrap();
    // At most a TLS alert (RFC 8446 section 5.1: content type 21).
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    assert_nobody_came(&callee).await;
}

#[tokio::test]
async fn a_caller_never_falls_back_to_tls_1_2_or_plain_bytes() {
    let world = World::new();
    let (driver, worker) = modules();
    let sockets = Directory::new();
    let path = sockets.0.join("mallory.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let road = Road::to(path).await;
    let caller = Caller::start(&world, driver, &road, &[&worker]).await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = EnclaveKey::generate().unwrap();
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(key.self_signed()));
    let old = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    let acceptor = TlsAcceptor::from(Arc::new(old));
    let (refused, accepted) = tokio::join!(caller.open(), async {
        acceptor.accept(listener.accept().await.unwrap().0).await.map(drop)
    });
    assert_eq!(refused.unwrap_err().code(), "peer-tls");
    assert!(accepted.is_err());
    let (refused, ()) = tokio::join!(caller.open(), async {
        let (mut plain, _) = listener.accept().await.unwrap();
        plain.write_all(b"220 come in, no TLS needed\r\n").await.unwrap();
        let _ = plain.read_to_end(&mut Vec::new()).await;
    });
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), "peer-tls");
    let source = std::error::Error::source(&refused).unwrap().to_string();
    assert!(source.contains("InvalidContentType"), "{source}");
}

/// Another service with TLS of the newest kind is no peer.
#[tokio::test]
async fn another_protocol_is_no_peer() {
    let world = World::new();
    let (driver, _) = pair(&world);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = EnclaveKey::generate().unwrap();
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(key.self_signed()));
    let web = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(web));
    let (refused, _) = tokio::join!(driver.dial(near), acceptor.accept(far));
    assert_eq!(refused.unwrap_err().code(), "peer-tls");
}
