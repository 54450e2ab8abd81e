//! What stands apart: one entry of a manifest from another, one enclave behind a name from the others.

use std::{num::NonZeroU16, path::Path, sync::Arc, time::Duration};

use countersign_enclave::peers::PeerIdentity;
use countersign_protocol::{Interval, Lease, peer::Opening};
use countersign_simulator::Module;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::mpsc,
    time::Instant,
};

use crate::{
    party::Party,
    rig::{Callee, Caller, Directory, World, config},
    road::Road,
    talk::modules,
};

/// A port whose entry says 15 s takes nobody at the word that was given for ten minutes at another.
#[tokio::test]
async fn a_proof_at_one_port_is_none_at_another() {
    let world = World::new();
    let (driver, worker) = modules();
    let callee = Callee::every(&world, worker.clone(), config(1, &[&driver], &[]), Interval::MAX).await;
    let stricter = callee.port(NonZeroU16::MIN, Interval::MIN).await;
    let caller = Party::new(&world, driver, config(1, &[&worker], &[])).granting(Lease::MAX);
    let (proven, _link) = caller.prove(UnixStream::connect(&callee.socket).await.unwrap()).await.unwrap();
    assert_eq!(proven.lease, Lease::MAX);
    assert!(carries(&caller, &callee, &callee.socket).await);
    assert!(!carries(&caller, &callee, &stricter).await);
    // At the other port it proves itself for as long as that one grants.
    let (proven, _link) = caller.prove(UnixStream::connect(&stricter).await.unwrap()).await.unwrap();
    assert_eq!(proven.lease, Lease::MIN);
    assert!(carries(&caller, &callee, &stricter).await);
}

/// What a key shows on one connection counts for what it proved on another.
#[tokio::test]
async fn a_key_that_shows_another_image_loses_what_it_proved() {
    let world = World::new();
    let (driver, worker) = modules();
    let callee = Callee::start(&world, worker.clone(), config(1, &[&driver], &[])).await;
    let workers = || config(1, &[&worker], &[]);
    let caller = Party::new(&world, driver, workers());
    let changed = Party::holding(&world, Module::from_image("other"), workers(), caller.key.clone());
    let (_, link) = caller.prove(UnixStream::connect(&callee.socket).await.unwrap()).await.unwrap();
    assert!(carries(&caller, &callee, &callee.socket).await);
    let refused = changed.prove(UnixStream::connect(&callee.socket).await.unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), "refused-by-peer");
    assert!(!carries(&caller, &callee, &callee.socket).await);
    drop(link);
}

/// Whether a connection that says it is known reaches the application.
async fn carries(caller: &Party, callee: &Callee, socket: &Path) -> bool {
    let mut link = caller.identity.connect(UnixStream::connect(socket).await.unwrap()).await.unwrap();
    link.stream.write_all(&[Opening::Carry.byte(), b'!']).await.unwrap();
    let mut said = [0];
    tokio::select! {
        // Dropped: the application never hears of it.
        ended = link.stream.read(&mut said) => {
            assert!(!matches!(ended, Ok(1..)));
            false
        }
        accepted = callee.application.accept() => {
            accepted.unwrap().0.read_exact(&mut said).await.unwrap();
            true
        }
    }
}

/// An enclave behind a name shows its key and then says nothing: whoever is led to another is served at once.
#[tokio::test]
async fn an_enclave_that_stalls_does_not_stand_before_the_others_of_its_name() {
    let world = World::new();
    let (driver, worker) = modules();
    let callee = Callee::start(&world, worker.clone(), config(1, &[&driver], &[])).await;
    let sockets = Directory::new();
    let socket = sockets.0.join("stalled.sock");
    let mut stalled = stalled(UnixListener::bind(&socket).unwrap());
    let road = Road::to(socket).await;
    let caller = Arc::new(Caller::start(&world, driver, &road, &[&worker]).await);
    for _ in 0..2 {
        let caller = caller.clone();
        tokio::spawn(async move { caller.open().await.map(drop) });
        stalled.recv().await.unwrap();
    }
    road.divert(callee.socket.clone());
    tokio::time::pause();
    let started = Instant::now();
    caller.open().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// Ends TLS and keeps silent; a word for each connection.
fn stalled(listener: UnixListener) -> mpsc::UnboundedReceiver<()> {
    let (said, heard) = mpsc::unbounded_channel();
    let identity = PeerIdentity::generate().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(identity.accept(stream).await.unwrap());
            said.send(()).unwrap();
        }
    });
    heard
}
