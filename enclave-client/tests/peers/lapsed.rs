//! Proofs that lapse, are renewed, or are taken back, while bytes move.

use std::{sync::atomic::Ordering, time::Duration};

use countersign_enclave::{
    egress::Connection,
    relay::{Early, End, relay},
    transport::Stream,
};
use countersign_protocol::Interval;
use countersign_simulator::Module;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{
    rig::{Callee, Caller, Counters, PATIENCE, World, config},
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
        assert!(matches!(connection, Connection::Peer(_)));
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

#[tokio::test]
async fn a_callers_nsm_that_fails_once_cuts_nobody() {
    an_nsm_fails_once(|talk| &talk.caller.nsm).await;
}

#[tokio::test]
async fn a_callees_nsm_that_fails_once_cuts_nobody() {
    an_nsm_fails_once(|talk| &talk.callee.nsm).await;
}

/// In the middle of a transfer: that is no decision about anybody.
async fn an_nsm_fails_once(nsm: impl Fn(&Talk) -> &Counters) {
    let world = World::new();
    let talk = Talk::start(&world).await;
    let (mut near, mut far, carried) = talk.transfer().await;
    tokio::time::pause();
    let failures = &nsm(&talk).failures;
    failures.store(1, Ordering::SeqCst);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(90) {
        say(&mut near, &mut far).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(failures.load(Ordering::SeqCst), 0);
    assert!(!carried.is_finished());
}

/// The way to the proving connection dies and nobody is told; a new connection would get through.
#[tokio::test]
async fn a_proving_connection_that_goes_silent_is_replaced_before_the_lease_is_over() {
    let world = World::new();
    let talk = Talk::start(&world).await;
    let (_near, _far, carried) = talk.transfer().await;
    tokio::time::pause();
    talk.road.silence();
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert!(!carried.is_finished());
}

/// What rested on the old PCRs is cut; what comes next rests on the new ones and is kept proved.
#[tokio::test]
async fn a_peer_that_extends_a_pcr_is_served_by_what_it_proves_now() {
    let world = World::new();
    let talk = Talk::start(&world).await;
    let (_near, _far, carried) = talk.transfer().await;
    tokio::time::pause();
    let (_, worker) = modules();
    *talk.callee.nsm.next.lock().unwrap() = Some(world.nsm(worker.with_pcr(16, [7; 48]).unwrap()));
    assert!(matches!(carried.await.unwrap(), End::Cut));
    for _ in 0..4 {
        assert_carries(&mut talk.caller.open().await.unwrap(), &talk.callee).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
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

/// Whoever is named again after it was not is proved anew, and served.
#[tokio::test]
async fn a_peer_that_is_named_again_is_served_again() {
    let world = World::new();
    let talk = Talk::start(&world).await;
    let (_near, _far, carried) = talk.transfer().await;
    let (_, worker) = modules();
    let next = Module::from_image("next release");
    let naming =
        |serial, module: &Module| world.signer.sign(config(serial, &[module], &[talk.road.address.port()]));
    talk.caller.config_maps.put(&naming(2, &next));
    assert!(matches!(timeout(PATIENCE, carried).await.expect("cut in time").unwrap(), End::Cut));
    // The callee has heard of it when it has closed the connection that proves.
    let told = timeout(PATIENCE, async {
        while talk.road.open() > 0 {
            tokio::task::yield_now().await;
        }
    });
    told.await.unwrap();
    talk.caller.config_maps.put(&naming(3, &worker));
    let opened = timeout(PATIENCE, async {
        loop {
            match talk.caller.open().await {
                Ok(opened) => return opened,
                // Or it is told that it comes too often.
                Err(why) => assert!(["pcr-mismatch", "refused-by-peer"].contains(&why.code()), "{why}"),
            }
        }
    });
    let mut near = opened.await.unwrap();
    let mut far = assert_carries(&mut near, &talk.callee).await;
    // It is kept proved, too.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(60)).await;
    far.write_all(b"!").await.unwrap();
    assert_eq!(near.read_u8().await.unwrap(), b'!');
    assert!(!near.cut().unwrap().is_cancelled());
}

/// What the callee has to say is lost with the way; the next connection brings it, and nobody waits for the lapse.
#[tokio::test]
async fn a_refusal_that_was_lost_is_heard_on_the_next_connection() {
    let world = World::new();
    let talk = Talk::start(&world).await;
    let (_near, _far, carried) = talk.transfer().await;
    tokio::time::pause();
    let started = Instant::now();
    talk.road.silence();
    let other = Module::from_image("next release");
    talk.callee.config_maps.put(&world.signer.sign(config(2, &[&other], &[])));
    assert!(matches!(carried.await.unwrap(), End::Cut));
    // The renewal begins after 13.5 to 16.5 s, and is given up after half of what is left of 30.
    let lasted = started.elapsed();
    assert!((Duration::from_secs(19)..Duration::from_secs(26)).contains(&lasted), "{lasted:?}");
}

/// The port is no longer among those at which the peer may be called.
#[tokio::test]
async fn a_port_that_is_taken_out_is_cut_in_the_middle_of_a_transfer() {
    let world = World::new();
    let talk = Talk::start(&world).await;
    let (_near, _far, carried) = talk.transfer().await;
    let (_, worker) = modules();
    talk.caller.config_maps.put(&world.signer.sign(config(2, &[&worker], &[1])));
    assert!(matches!(timeout(PATIENCE, carried).await.expect("cut in time").unwrap(), End::Cut));
    assert_eq!(talk.caller.refused().await, "peer-port");
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
        assert_carries(near, callee).await;
    }
}

/// One of two enclaves that may call each other has called, and needs the other no more: that ends nothing of what the
/// other may do.
#[tokio::test]
async fn a_peer_that_called_and_left_is_reached() {
    let world = World::new();
    let (driver, worker) = modules();
    let any = |ports: &[u16]| config(1, &[&driver, &worker], ports);
    let nowhere = std::path::PathBuf::from("/nonexistent");
    let (to_one, to_other) = (Road::to(nowhere.clone()).await, Road::to(nowhere).await);
    let ports = [to_one.address.port(), to_other.address.port()];
    let one = Callee::every(&world, driver.clone(), any(&ports), Interval::MAX).await;
    let other = Callee::every(&world, worker.clone(), any(&ports), Interval::MAX).await;
    to_one.divert(one.socket.clone());
    to_other.divert(other.socket.clone());
    let from_one = Caller::every(&one.service, &to_other, world.signer.pin(), Interval::MAX);
    let from_other = Caller::every(&other.service, &to_one, world.signer.pin(), Interval::MAX);
    assert_carries(&mut from_other.open().await.unwrap(), &one).await;
    tokio::time::pause();
    // Past the first renewal, at which the other finds that it has no use for it, and before the lease is over.
    tokio::time::sleep(Duration::from_secs(340)).await;
    assert_carries(&mut from_one.open().await.unwrap(), &other).await;
}

/// The far end, after it has heard something.
async fn assert_carries(near: &mut Connection, callee: &Callee) -> TcpStream {
    let (mut far, _) = timeout(PATIENCE, callee.application.accept()).await.unwrap().unwrap();
    near.write_all(b"hi").await.unwrap();
    let mut said = [0; 2];
    timeout(PATIENCE, far.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(&said, b"hi");
    far
}
