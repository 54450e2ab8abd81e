//! Proofs that lapse, are renewed, or are taken back, while bytes move.

use std::{sync::atomic::Ordering, time::Duration};

use countersign_enclave::{
    egress::Way,
    relay::{Early, End, relay},
    transport::Stream,
};
use countersign_simulator::Module;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{
    rig::{Callee, Caller, PATIENCE, World, config},
    road::Road,
};

struct Talk {
    callee: Callee,
    road: Road,
    caller: Caller,
}

impl Talk {
    async fn start(world: &World) -> Self {
        let (driver, worker) = modules();
        let callee = Callee::start(world, worker.clone(), config(1, &[&driver], &[])).await;
        let road = Road::to(callee.socket.clone()).await;
        let caller = Caller::start(world, driver, &road, &[&worker]).await;
        Self { callee, road, caller }
    }

    /// A transfer as the local proxy would carry it: the application's two ends, and what became of the relay.
    async fn transfer(&self) -> (TcpStream, TcpStream, JoinHandle<End>) {
        let connection = self.caller.open().await.unwrap();
        let (far, _) = self.callee.application.accept().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let inside = Stream::Tcp(listener.accept().await.unwrap().0);
        let cut = connection.cut().unwrap().clone();
        assert!(matches!(connection.inner(), Way::Peer(_)));
        let carried = async move { relay(inside, connection, Early::default(), Some(&cut)).await.end };
        (near, far, tokio::spawn(carried))
    }
}

fn modules() -> (Module, Module) {
    (Module::from_image("driver"), Module::from_image("worker"))
}

async fn say(near: &mut TcpStream, far: &mut TcpStream) {
    near.write_all(b"still here").await.unwrap();
    let mut said = [0; 10];
    timeout(PATIENCE, far.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(&said, b"still here");
}

#[tokio::test]
async fn proofs_are_renewed_under_a_transfer_that_goes_on() {
    let world = World::new();
    let talk = Talk::start(&world).await;
    let (mut near, mut far, carried) = talk.transfer().await;
    tokio::time::pause();
    let started = Instant::now();
    let documents = talk.callee.nsm.documents.load(Ordering::SeqCst);
    // Six leases.
    while started.elapsed() < Duration::from_secs(180) {
        say(&mut near, &mut far).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let renewed = talk.callee.nsm.documents.load(Ordering::SeqCst) - documents;
    assert!((10..=14).contains(&renewed), "{renewed} rounds in 180 s at 13.5 to 16.5 s each");
    assert!(!carried.is_finished());
    drop((near, far));
    assert!(matches!(carried.await.unwrap(), End::Finished | End::Near(_)));
}

/// The connection that proves is silent, and so is every new one: at the end of the lease the bytes stop.
#[tokio::test]
async fn a_lease_that_lapses_cuts_a_transfer_on_both_sides() {
    let world = World::new();
    let talk = Talk::start(&world).await;
    let (mut near, mut far, carried) = talk.transfer().await;
    say(&mut near, &mut far).await;
    tokio::time::pause();
    let started = Instant::now();
    talk.road.block();
    assert!(matches!(carried.await.unwrap(), End::Cut));
    // Its proof was a moment old when the clock stopped.
    let lasted = started.elapsed();
    assert!((Duration::from_secs(25)..=Duration::from_secs(30)).contains(&lasted), "{lasted:?}");
    // The application's two ends see a reset, never an orderly end.
    for end in [&mut near, &mut far] {
        let broken = end.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(broken.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

/// A roll-out is over: the old release leaves the list of those who may call.
#[tokio::test]
async fn a_measurement_that_is_taken_out_is_cut_in_the_middle_of_a_transfer() {
    let world = World::new();
    let talk = Talk::start(&world).await;
    let (mut near, mut far, carried) = talk.transfer().await;
    say(&mut near, &mut far).await;
    let other = Module::from_image("next release");
    talk.callee.config_maps.put(&world.signer.sign(config(2, &[&other], &[])));
    let end = timeout(PATIENCE, carried).await.expect("cut in time").unwrap();
    assert!(matches!(end, End::Cut | End::Far(_)), "{end}");
    assert_eq!(far.read(&mut [0; 1]).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    // The caller is told why it is not served any more.
    let refused = timeout(PATIENCE, async {
        loop {
            match talk.caller.open().await {
                Err(refused) => return refused,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    });
    let refused = refused.await.unwrap();
    assert_eq!(refused.code(), "refused-by-peer");
    assert!(refused.to_string().contains("pcr-mismatch"), "{refused}");
}

/// The caller's own configuration no longer names the peer.
#[tokio::test]
async fn the_caller_cuts_as_well() {
    let world = World::new();
    let talk = Talk::start(&world).await;
    let (mut near, mut far, carried) = talk.transfer().await;
    say(&mut near, &mut far).await;
    let other = Module::from_image("next release");
    talk.caller.config_maps.put(&world.signer.sign(config(2, &[&other], &[talk.road.address.port()])));
    assert!(matches!(timeout(PATIENCE, carried).await.expect("cut in time").unwrap(), End::Cut));
    assert_eq!(near.read(&mut [0; 1]).await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(talk.caller.refused().await, "pcr-mismatch");
}

/// Old and new overlap: a serial that names both cuts nobody.
#[tokio::test]
async fn a_roll_out_with_both_releases_cuts_nobody() {
    let world = World::new();
    let talk = Talk::start(&world).await;
    let (mut near, mut far, carried) = talk.transfer().await;
    let (driver, worker) = modules();
    let next = Module::from_image("next release");
    talk.callee.config_maps.put(&world.signer.sign(config(2, &[&driver, &next], &[])));
    let new_caller = Caller::start(&world, next, &talk.road, &[&worker]).await;
    // Refused until the new serial is in force, and from then on not.
    let served = timeout(PATIENCE, async {
        while new_caller.open().await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    served.await.unwrap();
    // That one's, with nothing to say.
    drop(talk.callee.application.accept().await.unwrap());
    say(&mut near, &mut far).await;
    assert!(!carried.is_finished());
}

#[tokio::test]
async fn both_sides_may_start_at_once() {
    let world = World::new();
    let (driver, worker) = modules();
    let any = |ports: &[u16]| config(1, &[&driver, &worker], ports);
    let nowhere = std::path::PathBuf::from("/nonexistent");
    let (to_one, to_other) = (Road::to(nowhere.clone()).await, Road::to(nowhere).await);
    let ports = [to_one.address.port(), to_other.address.port()];
    let one = Callee::start(&world, driver.clone(), any(&ports)).await;
    let other = Callee::start(&world, worker.clone(), any(&ports)).await;
    to_one.divert(one.socket.clone());
    to_other.divert(other.socket.clone());
    let from_one = Caller::of(&one.service, &to_other, world.signer.pin());
    let from_other = Caller::of(&other.service, &to_one, world.signer.pin());
    let (up, down) = tokio::join!(from_one.open(), from_other.open());
    let (mut up, mut down) = (up.unwrap(), down.unwrap());
    for (near, callee) in [(&mut up, &other), (&mut down, &one)] {
        let (mut far, _) = callee.application.accept().await.unwrap();
        near.write_all(b"hi").await.unwrap();
        let mut said = [0; 2];
        far.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"hi");
    }
}
