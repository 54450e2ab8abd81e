//! Proofs that are renewed while bytes move, whatever goes wrong for a moment.

use std::{sync::atomic::Ordering, time::Duration};

use countersign_enclave::relay::End;
use countersign_protocol::Interval;
use countersign_simulator::Module;
use tokio::time::Instant;

use crate::{
    rig::{Callee, Caller, Counters, World, config},
    road::Road,
    talk::{Talk, assert_carries, modules, say},
};

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
