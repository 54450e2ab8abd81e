//! Bytes between two applications.

use std::sync::atomic::Ordering;

use countersign_simulator::Module;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    rig::{Callee, Caller, World, config},
    road::Road,
};

#[tokio::test]
async fn two_applications_talk_and_a_second_connection_costs_no_documents() {
    let world = World::new();
    let (driver, worker) = (Module::from_image("driver"), Module::from_image("worker"));
    let callee = Callee::start(&world, worker.clone(), config(1, &[&driver], &[])).await;
    let road = Road::to(callee.socket.clone()).await;
    let caller = Caller::start(&world, driver, &road, &[&worker]).await;
    // One document each for the time.
    let documents = |of: &crate::rig::Counters| of.documents.load(Ordering::SeqCst);
    assert_eq!((documents(&caller.nsm), documents(&callee.nsm)), (1, 1));
    for round in 0..3 {
        let mut near = caller.open().await.unwrap();
        let (mut far, _) = callee.application.accept().await.unwrap();
        near.write_all(b"up").await.unwrap();
        far.write_all(b"down").await.unwrap();
        let (mut up, mut down) = ([0; 2], [0; 4]);
        far.read_exact(&mut up).await.unwrap();
        near.read_exact(&mut down).await.unwrap();
        assert_eq!((&up, &down), (b"up", b"down"));
        // A half-close goes through, and what comes after it the other way too.
        near.shutdown().await.unwrap();
        assert_eq!(far.read(&mut up).await.unwrap(), 0);
        far.write_all(b"more").await.unwrap();
        far.shutdown().await.unwrap();
        near.read_exact(&mut down).await.unwrap();
        assert_eq!(near.read(&mut down).await.unwrap(), 0);
        assert_eq!((documents(&caller.nsm), documents(&callee.nsm)), (2, 2), "round {round}");
        // One that proves, and one for each channel.
        assert_eq!(road.taken(), 2 + round);
    }
}

#[tokio::test]
async fn the_application_of_the_other_side_may_speak_first() {
    let world = World::new();
    let (driver, worker) = (Module::from_image("driver"), Module::from_image("worker"));
    let callee = Callee::start(&world, worker.clone(), config(1, &[&driver], &[])).await;
    let road = Road::to(callee.socket.clone()).await;
    let caller = Caller::start(&world, driver, &road, &[&worker]).await;
    let mut near = caller.open().await.unwrap();
    let (mut far, _) = callee.application.accept().await.unwrap();
    far.write_all(b"220 hello").await.unwrap();
    let mut said = [0; 9];
    near.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"220 hello");
}

#[tokio::test]
async fn many_first_connections_at_once_prove_once() {
    let world = World::new();
    let (driver, worker) = (Module::from_image("driver"), Module::from_image("worker"));
    let callee = Callee::start(&world, worker.clone(), config(1, &[&driver], &[])).await;
    let road = Road::to(callee.socket.clone()).await;
    let caller = Caller::start(&world, driver, &road, &[&worker]).await;
    let opened = futures(8, || caller.open()).await;
    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    assert_eq!(caller.nsm.documents.load(Ordering::SeqCst), 2);
    assert_eq!(road.taken(), 9);
}

/// As many at once, on this task.
async fn futures<F: Future>(count: usize, make: impl Fn() -> F) -> Vec<F::Output> {
    let mut running: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut done: Vec<Option<F::Output>> = (0..count).map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (slot, future) in done.iter_mut().zip(&mut running) {
            if slot.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *slot = Some(output);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}
