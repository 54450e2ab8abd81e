//! A workload's bytes a second. Nothing here depends on how fast the machine is:
//! a limit is a least time, and a slow machine only takes longer.

use std::{num::NonZeroU64, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use super::{
    http2,
    rig::{Rig, destination, pattern},
};
use crate::{gateway::GatewayConfig, policy::Limits, session::EndReason};

const RATE: u64 = 200_000;

/// What each direction of each tunnel moves.
const BYTES: usize = 100_000;

#[tokio::test]
async fn tunnels_of_both_kinds_share_a_rate_and_lose_nothing() {
    let (listener, target) = destination().await;
    let rig = rig(&target, RATE).await;
    let enclave = rig.enclave(60);
    let mut own = rig.tunnel(&enclave, &target).await;
    let mut own_server = accept(&listener).await;
    let (mut requests, _connection) = http2::open(&rig, &enclave).await;
    let (mut to, from) = http2::tunnel(&mut requests, &target).await;
    let mut stream_server = accept(&listener).await;

    let start = Instant::now();
    let [up, down] = [pattern(BYTES, 1), pattern(BYTES, 2)];
    to.send_data(Bytes::from(up.clone()), true).unwrap();
    let stream = async {
        let mut heard = Vec::new();
        stream_server.read_to_end(&mut heard).await.unwrap();
        assert!(heard == up);
        stream_server.write_all(&down).await.unwrap();
        drop(stream_server);
    };
    let own = async {
        own.write_all(&up).await.unwrap();
        let mut heard = vec![0; BYTES];
        own_server.read_exact(&mut heard).await.unwrap();
        assert!(heard == up);
        own_server.write_all(&down).await.unwrap();
        own.read_exact(&mut heard).await.unwrap();
        assert!(heard == down);
    };
    let (_, _, answered) = tokio::join!(stream, own, http2::drain(from));
    assert!(answered.unwrap() == down);

    // Of four hundred thousand bytes, a tenth of a second's were saved up, and the
    // last turn of each direction is paid for after it.
    let unpaid = RATE / 10 + 4 * 17_000;
    let least = Duration::from_secs_f64((4 * BYTES as u64 - unpaid) as f64 / RATE as f64);
    assert!(start.elapsed() >= least, "{:?} is less than {least:?}", start.elapsed());
    assert_eq!(rig.sessions.list().len(), 1);
}

#[tokio::test]
async fn a_tunnel_that_waits_for_its_turn_is_cut_like_any_other() {
    let (listener, target) = destination().await;
    let rig = rig(&target, 65_536).await;
    let enclave = rig.enclave(60);
    let mut own = rig.tunnel(&enclave, &target).await;
    let mut server = accept(&listener).await;
    // A minute's bytes at this rate.
    let sending = tokio::spawn(async move {
        own.write_all(&vec![1; 4_000_000]).await?;
        own.read_u8().await
    });
    server.read_exact(&mut [0; 20_000]).await.unwrap();
    rig.sessions.end(&enclave.session.id(), EndReason::EndedByAdmin);
    let mut heard = Vec::new();
    let rest = timeout(Duration::from_secs(20), server.read_to_end(&mut heard));
    rest.await.expect("an end long before the bytes").unwrap_err();
    timeout(Duration::from_secs(20), sending).await.expect("an end here too").unwrap().unwrap_err();
}

async fn rig(target: &str, rate: u64) -> Rig {
    let limits = Limits { max_bytes_per_second: NonZeroU64::new(rate), ..Limits::default() };
    Rig::with(&[target], GatewayConfig::default(), limits).await
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}
