//! Connections that say nothing, in the way of others.

use countersign_enclave::ingress::IngressLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    caller,
    rig::{Rig, attested},
};

const STALLED: usize = 1000;

/// Two descriptors for each connection, both ends being this process.
fn room_for_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Sends `start` and then nothing more.
async fn stall(rig: &Rig, start: &[u8]) -> UnixStream {
    let mut stream = rig.connect().await;
    // A connection that was pushed out already may take no byte any more.
    let _ = stream.write_all(start).await;
    stream
}

#[tokio::test]
async fn a_thousand_stalled_handshakes_do_not_stand_in_the_way() {
    room_for_descriptors();
    let limits = IngressLimits::default();
    assert!(limits.waiting < STALLED);
    let rig = Rig::with_limits(attested(), limits).await;
    let mut stalled = Vec::new();
    for number in 0..STALLED {
        // Nothing, half a record header, the header of a hello that never comes.
        let start: &[u8] = [&b""[..], b"\x16\x03", b"\x16\x03\x01\x02\x00\x01"][number % 3];
        stalled.push(stall(&rig, start).await);
        if number % 100 == 99 {
            let mut caller = caller::connect(rig.connect().await, &[]).await;
            caller.write_all(b"hello").await.unwrap();
            let (mut application, _) = rig.application.accept().await.unwrap();
            let mut seen = [0; 5];
            application.read_exact(&mut seen).await.unwrap();
            assert_eq!(&seen, b"hello");
        }
    }
    // The oldest made room, the newest still wait.
    assert_eq!(stalled[0].read(&mut [0; 1]).await.unwrap_or(0), 0);
    let newest = &mut stalled[STALLED - 1];
    assert_eq!(newest.try_read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn those_that_are_carried_are_never_pushed_out() {
    let limits = IngressLimits { waiting: 2, ..IngressLimits::default() };
    let rig = Rig::with_limits(attested(), limits).await;
    let mut carried = caller::connect(rig.connect().await, &[]).await;
    let (mut application, _) = rig.application.accept().await.unwrap();
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(stall(&rig, b"\x16").await);
    }
    assert_eq!(stalled[0].read(&mut [0; 1]).await.unwrap_or(0), 0);
    application.write_all(b"x").await.unwrap();
    assert_eq!(carried.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let limits =
        IngressLimits { handshake: std::time::Duration::from_millis(20), ..IngressLimits::default() };
    let rig = Rig::with_limits(attested(), limits).await;
    let mut stream = stall(&rig, b"\x16\x03\x01").await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn what_is_no_tls_is_closed() {
    let rig = Rig::attested().await;
    let mut stream = stall(&rig, b"GET / HTTP/1.1\r\n\r\n").await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    // An alert at most (RFC 8446 section 6.2), nothing of the application's.
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
}
