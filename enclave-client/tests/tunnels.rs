//! From an application's CONNECT to the other end of a tunnel, over real TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fake;

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use countersign_enclave::{
    attest::{Keeper, Nudge, ProxySite, SiteConfig, Status, Trouble},
    egress::{Egress, Outer},
    local::{LocalProxy, LocalProxyLimits},
    pool::{Gateway, Pool, Tunnel},
    transport::Dial,
};
use countersign_protocol::{
    Destination, Interval, Problem, ProblemCode,
    egress::{Action, EgressPolicy, Ports, Rule},
};
use countersign_telemetry::Span;
use fake::FakeProxy;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A keeper, a pool and a local proxy in front of a fake proxy.
struct World {
    proxy: FakeProxy,
    local: SocketAddr,
    pool: Arc<Pool>,
    status: watch::Receiver<Status>,
    keeper: CancellationToken,
    _stop: DropGuard,
}

impl World {
    async fn start() -> Self {
        let proxy = FakeProxy::start().await;
        let config = proxy.site_config();
        let gateway = Dial::Tcp(proxy.gateway.to_string().parse().unwrap());
        Self::start_with(proxy, config, gateway).await
    }

    async fn start_with(proxy: FakeProxy, config: SiteConfig, gateway: Dial) -> Self {
        let stop = CancellationToken::new();
        let nudge = Nudge::default();
        let (keeper, status) = Keeper::new(ProxySite::new(config).unwrap(), Interval::MIN, nudge.clone());
        let pool = Pool::new(Gateway::new(&FakeProxy::name(), gateway).unwrap(), status.clone(), nudge);
        let names = ["echo", "denied", "nosession", "unreachable", "silent", "broken"];
        let gated = names.map(|name| (destination(name), pool.clone())).into_iter().collect();
        let policy = EgressPolicy::new(vec![Rule {
            action: Action::Allow,
            target: "*.example".parse().unwrap(),
            ports: Ports::Any,
            origin: "test".into(),
        }]);
        let egress = Egress::new(policy.unwrap(), gated, Outer::Direct);
        let local = LocalProxy::bind(0, LocalProxyLimits::default()).await.unwrap();
        let address = local.address();
        let keeper_stop = stop.child_token();
        tokio::spawn(keeper.run(keeper_stop.clone()));
        tokio::spawn(local.serve(Arc::new(egress), stop.clone()));
        Self { proxy, local: address, pool, status, keeper: keeper_stop, _stop: stop.drop_guard() }
    }

    async fn attested(&mut self) {
        self.status.wait_for(|status| status.session(Instant::now()).is_ok()).await.unwrap();
    }

    /// Sends CONNECT and reads the head of the answer.
    async fn connect(&self, name: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.local).await.unwrap();
        let target = destination(name);
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        (stream, String::from_utf8(head).unwrap())
    }

    async fn refused(&self, name: &str) -> Problem {
        let (mut stream, head) = self.connect(name).await;
        let mut body = Vec::new();
        stream.read_to_end(&mut body).await.unwrap();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {} ", problem.status)), "{head}");
        problem
    }
}

fn destination(name: &str) -> Destination {
    format!("{name}.example:443").parse().unwrap()
}

/// 3 MiB both ways: more than a stream's window, so that windows must reopen.
async fn echo_and_half_close(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) {
    let sent: Vec<u8> = (0..3 << 20).map(|i: u32| i.to_le_bytes()[1]).collect();
    let (mut read, mut write) = tokio::io::split(stream);
    let expected = [b">".to_vec(), sent.clone(), b"bye".to_vec()].concat();
    let mut received = Vec::new();
    let up = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let (_, down) = tokio::join!(up, read.read_to_end(&mut received));
    down.unwrap();
    assert!(received == expected, "{} of {} bytes came back", received.len(), expected.len());
}

#[tokio::test]
async fn bytes_and_half_close_pass_through_every_kind_of_connection() {
    let mut world = World::start().await;
    world.attested().await;
    // Nothing warm yet: a connection of its own.
    let (mut stream, head) = world.connect("echo").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    echo_and_half_close(&mut stream).await;
    let target = destination("echo").to_string();
    assert_eq!(world.proxy.connects.recv().await.unwrap(), ("http/1.1", target.clone()));

    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(world.pool.clone().maintain(stop));
    // Many at once and held open, so that warm connections run out and streams must serve.
    let mut open: Vec<Tunnel> = Vec::new();
    let mut kinds = HashSet::new();
    while kinds.len() < 2 {
        let opening: Vec<_> = (0..8)
            .map(|_| {
                let pool = world.pool.clone();
                tokio::spawn(async move { pool.open(&destination("echo"), &mut Span::none()).await.unwrap() })
            })
            .collect();
        for tunnel in opening {
            open.push(tunnel.await.unwrap());
            kinds.insert(world.proxy.connects.recv().await.unwrap().0);
        }
        assert!(open.len() < 128, "only {kinds:?} was ever used");
    }
    for mut tunnel in open {
        echo_and_half_close(&mut tunnel).await;
    }
}

#[tokio::test]
async fn refusals_reach_the_application_with_the_gateways_code() {
    let mut world = World::start().await;
    world.attested().await;
    for (name, status, code) in [
        ("denied", 403, ProblemCode::DestinationDenied),
        ("unreachable", 502, ProblemCode::Unreachable),
        ("nosession", 503, ProblemCode::NoSession),
    ] {
        let problem = world.refused(name).await;
        assert_eq!((problem.status, problem.known()), (status, Some(code)));
        assert_eq!(problem.request_id, "from-the-gateway");
    }
}

#[tokio::test]
async fn a_session_that_the_gateway_does_not_know_is_attested_again() {
    let mut world = World::start().await;
    world.attested().await;
    let first = world.proxy.reports.recv().await.unwrap().unwrap();
    world.refused("nosession").await;
    // Long before the 13.5 s of the schedule; the test's harness has no timer of its own.
    let second = tokio::time::timeout(Duration::from_secs(10), world.proxy.reports.recv()).await.unwrap();
    assert_eq!(second.unwrap().unwrap().sequence, first.sequence + 1);
}

#[tokio::test]
async fn a_session_ended_by_a_revocation_is_told_as_the_revocation() {
    let mut world = World::start().await;
    world.attested().await;
    let problem = Problem::new(ProblemCode::MeasurementRevoked, "the measurement was revoked", "r43");
    let body = serde_json::to_vec(&problem).unwrap();
    world.proxy.behave(|b| b.answer = Some((403, body)));
    assert_eq!(world.refused("nosession").await.known(), Some(ProblemCode::NoSession));
    // The client attests again, and learns why.
    let told = world.status.wait_for(|status| matches!(status.trouble(), Trouble::Failed { .. }));
    tokio::time::timeout(Duration::from_secs(10), told).await.unwrap().unwrap();
    let seen = world.refused("nosession").await;
    assert_eq!((seen.status, seen.known()), (503, Some(ProblemCode::MeasurementRevoked)));
    assert_eq!(seen.request_id, "r43");
}

/// Under TLS 1.3 a client's handshake is done before the server has looked at its certificate.
#[tokio::test]
async fn a_gateway_that_accepts_and_closes_is_not_hammered() {
    let proxy = FakeProxy::start().await;
    let config = proxy.site_config();
    let (gateway, mut accepted) = proxy.gateway_that_closes().await;
    let gateway = Dial::Tcp(gateway.to_string().parse().unwrap());
    let config = SiteConfig { gateway_port: None, ..config };
    let mut world = World::start_with(proxy, config, gateway).await;
    world.attested().await;
    // From here on time is the timers': a loop without a pause would never let it advance.
    tokio::time::pause();
    let minute = Instant::now() + Duration::from_secs(60);
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(world.pool.clone().maintain(stop));
    let mut count = 0;
    while let Ok(Some(())) = tokio::time::timeout_at(minute, accepted.recv()).await {
        count += 1;
        assert!(count < 100, "{count} connections in less than a minute");
    }
    assert!(count > 0);
}

#[tokio::test]
async fn while_not_attested_the_answer_is_the_proxys_refusal() {
    let proxy = FakeProxy::start().await;
    let problem = Problem::new(ProblemCode::MeasurementRevoked, "the measurement was revoked", "r42");
    let body = serde_json::to_vec(&problem).unwrap();
    proxy.behave(|b| b.answer = Some((403, body)));
    let config = proxy.site_config();
    let gateway = Dial::Tcp(proxy.gateway.to_string().parse().unwrap());
    let mut world = World::start_with(proxy, config, gateway).await;
    world.status.changed().await.unwrap();
    let seen = world.refused("echo").await;
    assert_eq!((seen.status, seen.known()), (503, Some(ProblemCode::MeasurementRevoked)));
    assert_eq!(seen.detail, "not attested: the measurement was revoked");
    assert_eq!(seen.request_id, "r42");
}

#[tokio::test]
async fn a_tunnel_that_breaks_is_a_reset_and_not_an_end() {
    let mut world = World::start().await;
    world.attested().await;
    let (mut stream, _) = world.connect("broken").await;
    let mut received = Vec::new();
    let error = stream.read_to_end(&mut received).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_lapsed_lease_cuts_the_tunnels_even_if_nobody_says_so() {
    let mut world = World::start().await;
    world.attested().await;
    let tunnel = world.pool.open(&destination("silent"), &mut Span::none()).await.unwrap();
    let (mut stream, _) = world.connect("silent").await;
    assert_eq!(stream.read_u8().await.unwrap(), b'>');
    world.keeper.cancel();
    let lapses = world.status.borrow().session(Instant::now()).unwrap().until();
    tokio::time::pause();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(world.pool.clone().maintain(stop));
    tunnel.cut().cancelled().await;
    let late = Instant::now().checked_duration_since(lapses).expect("cut before the lease lapsed");
    assert!(late <= Duration::from_millis(250), "cut {late:?} after the lapse");
    tokio::time::resume();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let problem = world.refused("echo").await;
    assert_eq!((problem.status, &*problem.code), (503, "not-attested"));
}

#[tokio::test]
async fn tunnels_run_over_unix_sockets_alike() {
    let proxy = FakeProxy::start().await;
    let directory = std::env::temp_dir().join(format!("countersign-tunnel-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    proxy.listen_on_unix(&directory);
    let attestation = Dial::Unix(directory.join("attestation"));
    let config = SiteConfig { attestation, gateway_port: None, ..proxy.site_config() };
    let mut world = World::start_with(proxy, config, Dial::Unix(directory.join("gateway"))).await;
    world.attested().await;
    let (mut stream, _) = world.connect("echo").await;
    echo_and_half_close(&mut stream).await;
    std::fs::remove_dir_all(&directory).unwrap();
}
