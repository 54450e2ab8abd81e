//! Three proxies on one PostgreSQL server: attest at one, tunnel through another;
//! revoked everywhere; killed one by one; and the database gone for a while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use countersign_e2e::{
    Admitted, Attester, PATIENCE, Proxy, RealClient, Replicas, Setup, Upstream, gateway, read_to_end,
    round_trip,
};
use countersign_protocol::Lease;
use tokio::{
    io::AsyncReadExt,
    time::{sleep, timeout},
};

const PROXY: &str = env!("CARGO_BIN_EXE_e2e-proxy");

const IMAGE: &str = "payments-1.0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_one_session_at_every_replica() {
    let echo = Upstream::echo().await;
    let Some(replicas) = Replicas::start(&Setup::to(&[echo]), 3, PROXY).await else { return };
    let [first, second, third] = &replicas.proxies[..] else { panic!("three of them") };
    let mut session = first.admitted(IMAGE).await;

    // The certificate of one opens tunnels at all, over both protocols.
    let target = echo.to_string();
    let mut tunnel = second.open(&session.dialer, &target).await.unwrap();
    round_trip(&mut tunnel, b"through another replica").await;
    let mut send = gateway::open_h2(third.gateway, &session.dialer).await.unwrap();
    let connect = http::Request::connect(target.as_str()).body(()).unwrap();
    let (answer, mut stream) = send.send_request(connect, false).unwrap();
    let answer = answer.await.unwrap();
    stream.send_data("and the third".into(), true).unwrap();
    assert_eq!(answer.into_body().data().await.unwrap().unwrap(), "and the third");

    // It renews at another one, and stays what it is.
    move_to(&mut session, second).await;
    let renewed = session.enclave.attest(2, |_| ()).await.grant();
    assert_eq!(renewed.session, session.grant.session);

    // What was said at one replica is old at every other.
    move_to(&mut session, third).await;
    for sequence in [1, 2] {
        let refused = session.enclave.attest(sequence, |_| ()).await.refusal();
        assert_eq!(refused, (409, "sequence-replayed".into()), "{sequence}");
    }
    move_to(&mut session, first).await;
    assert_eq!(session.enclave.attest(2, |_| ()).await.refusal(), (409, "sequence-replayed".into()));
    // Another boot is not this session, whoever knows it.
    move_to(&mut session, second).await;
    session.enclave.boot = countersign_protocol::BootId::from_bytes([9; 16]);
    assert_eq!(session.enclave.attest(3, |_| ()).await.refusal(), (409, "session-conflict".into()));
    round_trip(&mut tunnel, b"and nothing was cut").await;
}

/// The shortest lease is 30 s: beyond it, a tunnel stands by what another replica was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_lives_on_by_a_renewal_at_another_replica() {
    let echo = Upstream::echo().await;
    let Some(replicas) = Replicas::start(&Setup::to(&[echo]), 2, PROXY).await else { return };
    let [first, second] = &replicas.proxies[..] else { panic!("two of them") };
    let mut renewed = first.admitted(IMAGE).await;
    let forgotten = first.admitted(IMAGE).await;
    let mut tunnel = second.open(&renewed.dialer, &echo.to_string()).await.unwrap();
    let mut other = second.open(&forgotten.dialer, &echo.to_string()).await.unwrap();
    renewed.enclave.attest(2, |claim| claim.lease = Lease::MAX).await.grant();
    // What nobody renewed is cut when its lease is over: then so is the first one's first lease.
    let cut = timeout(2 * PATIENCE, async { other.read_u8().await }).await.expect("a cut in time");
    assert!(cut.is_err(), "reset, not closed");
    round_trip(&mut tunnel, b"beyond the first lease").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_cuts_on_every_replica_and_each_says_so() {
    let mut upstream = Upstream::start().await;
    let echo = Upstream::echo().await;
    let Some(replicas) = Replicas::start(&Setup::to(&[upstream.address, echo]), 3, PROXY).await else {
        return;
    };
    let revoked = replicas.proxies[0].admitted("payments-1.0").await;
    let other = replicas.proxies[1].admitted("payments-2.0").await;
    let mut ends = Vec::new();
    let mut bystanders = Vec::new();
    for proxy in &replicas.proxies {
        let near = proxy.open(&revoked.dialer, &upstream.address.to_string()).await.unwrap();
        ends.push((near, upstream.accept().await));
        bystanders.push(proxy.open(&other.dialer, &echo.to_string()).await.unwrap());
    }

    let epoch = replicas.revoke("1.0").await;
    replicas.enforced(epoch).await;
    // Acknowledged: both ends of each tunnel have nothing more to come.
    for (near, far) in &mut ends {
        assert_eq!(leftover(far), None, "reset, and nothing stood in it");
        assert!(read_to_end(near).await.is_err(), "reset, not closed");
    }
    for proxy in &replicas.proxies {
        let refused = proxy.open(&revoked.dialer, &echo.to_string()).await.unwrap_err();
        assert!(["measurement-revoked", "no-session"].contains(&&*refused.1), "{refused:?}");
        let refused = proxy.admitted_or_refused("payments-1.0").await.unwrap_err();
        assert_eq!(refused, (403, "measurement-revoked".into()));
    }
    for bystander in &mut bystanders {
        round_trip(bystander, b"none of my business").await;
    }
    let said = replicas.said().await;
    let mut names: Vec<_> = said.iter().map(|row| row.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["replica-0", "replica-1", "replica-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_session_ends_on_every_replica_and_comes_back_nowhere() {
    let echo = Upstream::echo().await;
    let Some(replicas) = Replicas::start(&Setup::to(&[echo]), 3, PROXY).await else { return };
    let mut ended = replicas.proxies[0].admitted(IMAGE).await;
    let other = replicas.proxies[0].admitted(IMAGE).await;
    let target = echo.to_string();
    let mut tunnels = Vec::new();
    // The third replica has not seen it.
    for proxy in &replicas.proxies[..2] {
        tunnels.push(proxy.open(&ended.dialer, &target).await.unwrap());
    }
    let mut bystander = replicas.proxies[1].open(&other.dialer, &target).await.unwrap();

    let epoch = replicas.end(ended.grant.session).await;
    replicas.enforced(epoch).await;
    for tunnel in &mut tunnels {
        assert!(read_to_end(tunnel).await.is_err(), "reset, not closed");
    }
    for proxy in &replicas.proxies {
        let refused = proxy.open(&ended.dialer, &target).await.unwrap_err();
        assert!(["session-ended", "no-session"].contains(&&*refused.1), "{refused:?}");
    }
    round_trip(&mut bystander, b"another session").await;
    // Its enclave may attest again, and is somebody new.
    let again = ended.enclave.attest(2, |_| ()).await.grant();
    assert_ne!(again.session, ended.grant.session);
}

/// SIGKILL, one after the other, behind a load balancer: the real client goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enclave_goes_on_while_replicas_are_killed() {
    let echo = Upstream::echo().await;
    let Some(mut replicas) = Replicas::start(&Setup::to(&[echo]), 3, PROXY).await else { return };
    let balancer = replicas.balancer();
    let witness = &replicas.proxies[0];
    let client = RealClient::start(witness, IMAGE, balancer.attestation, balancer.gateway, &[echo]).await;
    client.attested().await;
    round_trip(&mut client.open_again(echo).await, b"three of them").await;
    for left in ["two of them", "one of them"] {
        let mut victim = replicas.proxies.pop().unwrap();
        victim.kill().await;
        round_trip(&mut client.open_again(echo).await, left.as_bytes()).await;
    }
    round_trip(&mut client.open_again(echo).await, b"and still").await;
}

/// Every session is taken up again where its replica was: by any other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed_takes_no_session_with_it() {
    let echo = Upstream::echo().await;
    let Some(mut replicas) = Replicas::start(&Setup::to(&[echo]), 2, PROXY).await else { return };
    let session = replicas.proxies[0].admitted(IMAGE).await;
    let mut dead = replicas.proxies.remove(0);
    dead.kill().await;
    let target = echo.to_string();
    let mut tunnel = replicas.proxies[0].open(&session.dialer, &target).await.unwrap();
    round_trip(&mut tunnel, b"at the other one").await;
    // And by itself, once it is back: it is the same replica.
    let before = replicas.said().await;
    let back = dead.start_again().await;
    back.open(&session.dialer, &target).await.unwrap();
    let after = replicas.said().await;
    let ids = |rows: &[countersign_proxy::store::ReplicaRow]| {
        let mut ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!((ids(&before), before.len()), (ids(&after), 2));
}

/// Silent for a moment: what is open stays, what is new waits; nobody attests anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_for_a_moment_cuts_nothing() {
    let echo = Upstream::echo().await;
    let Some(replicas) = Replicas::start(&Setup::to(&[echo]), 3, PROXY).await else { return };
    let session = replicas.proxies[0].admitted(IMAGE).await;
    let target = echo.to_string();
    let mut tunnels = Vec::new();
    for proxy in &replicas.proxies[..2] {
        tunnels.push(proxy.open(&session.dialer, &target).await.unwrap());
    }

    replicas.stop_database();
    for proxy in &replicas.proxies {
        until(|| async { refusal(proxy, &session, &target).await.is_some_and(|code| code == "stale") }).await;
        let refused = proxy.admitted_or_refused(IMAGE).await.unwrap_err();
        assert_eq!(refused, (503, "stale".into()));
    }
    for tunnel in &mut tunnels {
        round_trip(tunnel, b"still open").await;
    }

    replicas.resume_database();
    for proxy in &replicas.proxies {
        until(|| async { refusal(proxy, &session, &target).await.is_none() }).await;
    }
    for tunnel in &mut tunnels {
        round_trip(tunnel, b"all the time").await;
    }
}

/// Silent for 15 s: nobody knows what is allowed, so nothing is left open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stays_away_cuts_everything() {
    let echo = Upstream::echo().await;
    let Some(replicas) = Replicas::start(&Setup::to(&[echo]), 2, PROXY).await else { return };
    let proxy = &replicas.proxies[0];
    let key = countersign_e2e::Identity::p256();
    let mut attester = Attester::connect(proxy.attestation, &proxy.dialer(&key), &key).await.unwrap();
    let boot = countersign_protocol::BootId::from_bytes([3; 16]);
    let long = |claim: &mut countersign_e2e::Claim| claim.lease = Lease::MAX;
    let grant = attester.attest(&proxy.nsm(IMAGE), boot, 1, long).await.unwrap().grant();
    let dialer = gateway::session_dialer(&proxy.anchor, &key, &grant);
    let target = echo.to_string();
    let mut tunnels = Vec::new();
    for proxy in &replicas.proxies {
        tunnels.push(proxy.open(&dialer, &target).await.unwrap());
    }
    replicas.stop_database();
    for tunnel in &mut tunnels {
        assert!(read_to_end(tunnel).await.is_err(), "reset, not closed");
    }
    for proxy in &replicas.proxies {
        assert_eq!(proxy.open(&dialer, &target).await.unwrap_err(), (503, "stale".into()));
        assert_eq!(proxy.logged("store-unreachable").await["tunnels_cut"], 1);
    }
    // The session stands in the store: with it, it is back.
    replicas.resume_database();
    for proxy in &replicas.proxies {
        until(|| async { proxy.open(&dialer, &target).await.is_ok() }).await;
    }
}

/// Leaves its attestation connection and makes another, at another replica.
async fn move_to(session: &mut Admitted, proxy: &Proxy) {
    session.enclave.reconnect(proxy).await;
}

/// The code of a refused tunnel; `None` when it opened.
async fn refusal(proxy: &Proxy, session: &Admitted, target: &str) -> Option<String> {
    proxy.open(&session.dialer, target).await.err().map(|(_, code)| code)
}

/// Tries until it is so.
async fn until<F: Future<Output = bool>>(so: impl Fn() -> F) {
    let trying = async {
        while !so().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, trying).await.expect("it in time");
}

/// What stands in a socket that is over; `None` when that is nothing and it was reset.
fn leftover(socket: &tokio::net::TcpStream) -> Option<String> {
    use std::io::{ErrorKind, Read};
    let mut bytes = Vec::new();
    let socket = rustix::io::dup(socket).unwrap();
    match std::net::TcpStream::from(socket).read_to_end(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset && bytes.is_empty() => None,
        other => Some(format!("{other:?} after {} bytes", bytes.len())),
    }
}
