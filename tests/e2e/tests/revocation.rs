//! A revocation reaches whatever is open, whatever is being opened, and whatever
//! is stuck.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use countersign_e2e::{Proxy, Setup, Upstream, gateway, read_to_end, round_trip};
use tokio::{io::AsyncWriteExt, time::timeout};

#[tokio::test]
async fn between_admission_and_connect_is_no_gap() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::start(Setup::to(&[upstream.address])).await;
    let mut session = proxy.admitted("payments-1.0").await;
    proxy.revoke("payments", "1.0").await;

    let target = upstream.address.to_string();
    let refused = proxy.open(&session.dialer, &target).await.unwrap_err();
    assert_eq!(refused, (403, "measurement-revoked".into()));
    let refused = gateway::refusal_over_h2(proxy.gateway, &session.dialer, &target).await.unwrap();
    assert_eq!(refused, (403, "measurement-revoked".into()));
    assert!(upstream.is_untouched(), "nobody was dialled");

    // Attesting again is how the enclave learns why.
    assert_eq!(session.enclave.attest(2, |_| ()).await.refusal(), (403, "measurement-revoked".into()));
}

/// A connection to the gateway that was there before, warm, without a tunnel.
#[tokio::test]
async fn a_warm_connection_opens_nothing_afterwards() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::start(Setup::to(&[upstream.address])).await;
    let session = proxy.admitted("payments-1.0").await;
    let target = upstream.address.to_string();
    let mut warm = countersign_e2e::Wire::new(session.dialer.dial(proxy.gateway).await.unwrap());
    let mut warm_h2 = gateway::open_h2(proxy.gateway, &session.dialer).await.unwrap();
    proxy.revoke("payments", "1.0").await;

    match warm.connect(&target).await {
        Ok(answer) => assert_eq!(answer.refusal(), (403, "measurement-revoked".into())),
        Err(closed) => drop(closed),
    }
    let connect = http::Request::connect(target.as_str()).body(()).unwrap();
    match warm_h2.send_request(connect, true) {
        Ok((answer, _)) => match answer.await {
            Ok(answer) => assert_eq!(answer.status(), 403),
            Err(error) => assert!(error.is_remote() || error.is_io() || error.is_go_away(), "{error}"),
        },
        Err(error) => assert!(error.is_remote() || error.is_io() || error.is_go_away(), "{error}"),
    }
    assert!(upstream.is_untouched(), "nobody was dialled");
}

#[tokio::test]
async fn open_tunnels_of_that_measurement_are_reset_and_no_others() {
    let mut upstream = Upstream::start().await;
    let echo = Upstream::echo().await;
    let proxy = Proxy::start(Setup::to(&[upstream.address, echo])).await;
    let (revoked, other) = (proxy.admitted("payments-1.0").await, proxy.admitted("payments-2.0").await);
    let target = upstream.address.to_string();
    let mut own = proxy.open(&revoked.dialer, &target).await.unwrap();
    let mut own_far_end = upstream.accept().await;
    let mut send = gateway::open_h2(proxy.gateway, &revoked.dialer).await.unwrap();
    let connect = http::Request::connect(target.as_str()).body(()).unwrap();
    let (answer, _body) = send.send_request(connect, false).unwrap();
    let mut stream = answer.await.unwrap().into_body();
    let mut stream_far_end = upstream.accept().await;
    let mut bystander = proxy.open(&other.dialer, &echo.to_string()).await.unwrap();

    proxy.commit_revocation("payments", "1.0").await;
    assert!(read_to_end(&mut own).await.is_err(), "reset, not closed");
    assert!(read_to_end(&mut own_far_end).await.is_err(), "reset, not closed");
    assert!(read_to_end(&mut stream_far_end).await.is_err(), "reset, not closed");
    let ended = timeout(countersign_e2e::PATIENCE, stream.data()).await.expect("an end in time");
    assert!(ended.is_some_and(|chunk| chunk.is_err()), "reset, not closed");
    round_trip(&mut bystander, b"none of my business").await;
}

/// Nobody reads at the far end, so that every buffer on the way is full and the
/// proxy waits in a write when the revocation comes. The other direction likewise.
#[tokio::test]
async fn a_tunnel_blocked_in_a_write_is_cut_too() {
    let mut upstream = Upstream::start().await;
    let proxy = Proxy::start(Setup::to(&[upstream.address])).await;
    let session = proxy.admitted("payments-1.0").await;
    let target = upstream.address.to_string();

    let mut up = proxy.open(&session.dialer, &target).await.unwrap();
    let mut up_far_end = upstream.accept().await;
    let mut down = proxy.open(&session.dialer, &target).await.unwrap();
    let mut down_far_end = upstream.accept().await;
    fill(&mut up).await;
    fill(&mut down_far_end).await;

    proxy.commit_revocation("payments", "1.0").await;
    assert!(read_to_end(&mut up_far_end).await.is_err(), "what lies in buffers ends with a reset");
    assert!(read_to_end(&mut down).await.is_err(), "what lies in buffers ends with a reset");
}

/// Writes until nothing goes any more.
async fn fill(stream: &mut (impl AsyncWriteExt + Unpin)) {
    let chunk = vec![7; 64 * 1024];
    let mut total = 0;
    // Full is when the socket takes nothing for a while: there is no other sign.
    while let Ok(written) = timeout(std::time::Duration::from_millis(300), stream.write(&chunk)).await {
        total += written.unwrap();
        assert!(total < 256 << 20, "nothing on the way has such buffers");
    }
}
