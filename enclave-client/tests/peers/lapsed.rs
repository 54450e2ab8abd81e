//! Proofs that lapse or are taken back while bytes move.

use std::time::Duration;

use countersign_enclave::relay::End;
use countersign_simulator::Module;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use crate::{
    rig::{Caller, PATIENCE, World, config},
    talk::{Talk, assert_carries, modules, say},
};

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
