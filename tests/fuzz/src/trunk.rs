//! What the two halves say to each other on a trunk.

use std::{cell::RefCell, collections::HashMap};

use bytes::Bytes;
use countersign_enclave::trunk::{Lane, Trunk};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    runtime::{Builder, Runtime},
};

/// Any bytes as the frames of an enclave, to an end that says back on each lane what it hears there: it comes to an
/// end, says frames and nothing else, and no lane hears what was said on another.
pub fn frames(bytes: &[u8]) {
    thread_local! {
        static RUNTIME: RefCell<Runtime> =
            RefCell::new(Builder::new_current_thread().enable_time().build().expect("a runtime"));
    }
    let answer = RUNTIME.with_borrow(|runtime| runtime.block_on(answer(bytes)));
    let (said, heard) = (lanes(bytes), lanes(&answer));
    for (lane, bytes) in &heard {
        let sent = said.get(lane).unwrap_or_else(|| panic!("lane {lane:?} never spoke"));
        assert!(sent.starts_with(bytes), "lane {lane:?}: {bytes:?} of {sent:?}");
    }
}

async fn answer(bytes: &[u8]) -> Vec<u8> {
    // Room for everything: a writer that waits is what the tests of the trunk are for.
    let (mut enclave, host) = duplex(1 << 20);
    let (early, later) = bytes.split_at(bytes.len() / 3);
    let (trunk, driver) = Trunk::taking(host, Bytes::copy_from_slice(early));
    let driven = tokio::spawn(driver);
    let serving = tokio::spawn(async move {
        while let Some(lane) = trunk.take().await {
            tokio::spawn(say_back(lane));
        }
    });
    // It hangs up on what breaks the rules.
    let _ = enclave.write_all(later).await;
    let _ = enclave.shutdown().await;
    let mut answer = Vec::new();
    enclave.read_to_end(&mut answer).await.expect("a pipe has no errors");
    driven.await.expect("no panic");
    serving.await.expect("no panic");
    answer
}

async fn say_back(mut lane: Lane) {
    let mut heard = [0; 700];
    while let Ok(read) = lane.read(&mut heard).await {
        if read == 0 {
            let _ = lane.shutdown().await;
            return;
        }
        if lane.write_all(&heard[..read]).await.is_err() {
            return;
        }
    }
}

/// What is said on each lane, as far as it can be read; every rule but the shape is left out.
fn lanes(mut bytes: &[u8]) -> HashMap<[u8; 4], Vec<u8>> {
    let mut lanes: HashMap<_, Vec<u8>> = HashMap::new();
    while let Some(([kind, a, b, c, lane @ ..], rest)) = bytes.split_first_chunk::<8>() {
        let value = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (data, rest) = if *kind == 1 { rest.split_at(value.min(rest.len())) } else { (&[][..], rest) };
        lanes.entry(*lane).or_default().extend_from_slice(data);
        bytes = rest;
    }
    lanes
}
