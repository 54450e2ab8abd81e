//! The PROXY protocol: a real HAProxy before both ports, and headers made by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    os::fd::AsRawFd,
    path::Path,
    time::Duration,
};

use countersign_e2e::{Dialer, Identity, Proxy, Setup, Upstream, gateway, read_to_end, round_trip};
use rustix::io::{FdFlags, fcntl_setfd};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    process::{Child, Command},
};

const IMAGE: &str = "payments-1.0";

const PROXY: &str = env!("CARGO_BIN_EXE_e2e-proxy");

/// HAProxy and the makers of good headers are at 127.0.0.1; everybody else is not.
const ONE_BALANCER: &str = "proxy_protocol_from = [\"127.0.0.1\"]";

#[tokio::test]
async fn a_real_haproxy_hands_on_who_the_client_is() {
    let echo = Upstream::echo().await;
    let proxy = Proxy::program(Setup { listen: ONE_BALANCER, ..Setup::to(&[echo]) }, PROXY).await;
    for options in ["send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
        let (balancer, [attestation, gateway]) = haproxy(&proxy, options);
        let way = |dialer| Dialer { from: elsewhere(), ..dialer };
        let mut enclave = proxy.enclave_by(IMAGE, attestation, way).await;
        let client = enclave.attester.wire.stream().get_ref().0.local_addr().unwrap();
        let grant = enclave.attest(1, |_| ()).await.grant();
        assert_eq!(proxy.logged("admitted").await["peer"], client.to_string(), "{options}");

        let dialer = gateway::session_dialer(&proxy.anchor, &enclave.key, &grant);
        let dialer = Dialer { from: elsewhere(), ..dialer };
        let mut tunnel = gateway::open(gateway, &dialer, &echo.to_string()).await.unwrap();
        round_trip(&mut tunnel, b"through a balancer").await;

        // Whoever fails behind a balancer is named too.
        let nobody = Dialer { from: elsewhere(), ..proxy.dialer(&Identity::p256()) };
        nobody.ask(gateway, b"CONNECT a:1 HTTP/1.1\r\n\r\n").await.unwrap_err();
        let refused = proxy.logged("client-certificate-refused").await;
        assert!(refused["peer"].as_str().unwrap().starts_with("127.0.0.2:"), "{refused}");
        drop(balancer);
    }
}

#[tokio::test]
async fn the_named_client_takes_the_balancers_place() {
    let proxy = Proxy::program(Setup { listen: ONE_BALANCER, ..Setup::default() }, PROXY).await;
    for (header, client) in [
        (header(&V4), "192.0.2.7:4711"),
        (header(&V6), "[2001:db8::7]:4711"),
        (header(&[&V4[..], &[0x04, 0, 2, 0, 0]].concat()), "192.0.2.7:4711"),
    ] {
        let way = |dialer| Dialer { before: header, ..dialer };
        proxy.enclave_by(IMAGE, proxy.attestation, way).await.attest(1, |_| ()).await.grant();
        assert_eq!(proxy.logged("admitted").await["peer"], client);
    }
    // The balancer's own connection: a health check is itself.
    let local = [SIGNATURE, b"\x20\0\0\0"].concat();
    let way = |dialer| Dialer { before: local, ..dialer };
    proxy.enclave_by(IMAGE, proxy.attestation, way).await.attest(1, |_| ()).await.grant();
    let peer = proxy.logged("admitted").await["peer"].clone();
    assert!(peer.as_str().unwrap().starts_with("127.0.0.1:"), "{peer}");
}

#[tokio::test]
async fn a_balancer_that_says_it_wrong_is_refused_before_tls() {
    let proxy = Proxy::program(Setup { listen: ONE_BALANCER, ..Setup::default() }, PROXY).await;
    let mut checksum = V4.to_vec();
    checksum.extend([0x03, 0, 4, 1, 2, 3, 4]);
    let oversized = [SIGNATURE, b"\x21\x11\xff\xff"].concat();
    for (what, before, reason) in [
        ("nothing", Vec::new(), "found none"),
        ("text", b"PROXY TCP4 192.0.2.7 203.0.113.1 4711 443\r\n".to_vec(), "found version 1"),
        ("oversized", oversized, "expected at most 4096 bytes; found 65535"),
        ("a short block", header(&V4[..8]), "bytes of addresses"),
        ("a checksum", header(&checksum), "expected the checksum"),
    ] {
        for port in [proxy.attestation, proxy.gateway] {
            let dialer = Dialer { before: before.clone(), ..proxy.dialer(&Identity::p256()) };
            let refused = dialer.ask(port, b"GET / HTTP/1.1\r\n\r\n").await.unwrap_err();
            assert!(!refused.contains("alert"), "{what}: not a word of TLS: {refused}");
            let line = proxy.logged("proxy-header-refused").await.to_string();
            assert!(line.contains(reason), "{what}: {line}");
        }
    }
}

#[tokio::test]
async fn a_header_that_ends_early_is_no_connection() {
    let proxy = Proxy::program(Setup { listen: ONE_BALANCER, ..Setup::default() }, PROXY).await;
    let whole = header(&V4);
    for cut in [5, 16, whole.len() - 1] {
        for port in [proxy.attestation, proxy.gateway] {
            let mut stream = TcpStream::connect(port).await.unwrap();
            stream.write_all(&whole[..cut]).await.unwrap();
            stream.shutdown().await.unwrap();
            let line = proxy.logged("handshake-io").await.to_string();
            assert!(line.contains("socket failed before the PROXY header"), "{line}");
        }
    }
}

#[tokio::test]
async fn a_header_from_anybody_else_is_no_tls() {
    let proxy = Proxy::program(Setup { listen: ONE_BALANCER, ..Setup::default() }, PROXY).await;
    let spoofed = |key: &Identity| Dialer { from: elsewhere(), before: header(&V4), ..proxy.dialer(key) };
    for (port, code) in [(proxy.attestation, "handshake-failed"), (proxy.gateway, "not-tls")] {
        spoofed(&Identity::p256()).ask(port, b"GET / HTTP/1.1\r\n\r\n").await.unwrap_err();
        let line = proxy.logged(code).await;
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.2:"), "{line}");
    }
    // Without one it is served as ever.
    let plain = |dialer| Dialer { from: elsewhere(), ..dialer };
    proxy.enclave_by(IMAGE, proxy.attestation, plain).await.attest(1, |_| ()).await.grant();
    let peer = proxy.logged("admitted").await["peer"].clone();
    assert!(peer.as_str().unwrap().starts_with("127.0.0.2:"), "{peer}");
}

#[tokio::test]
async fn a_header_shares_the_handshakes_deadline() {
    let proxy = Proxy::start(Setup { listen: ONE_BALANCER, ..Setup::default() }).await;
    for port in [proxy.attestation, proxy.gateway] {
        let mut silent = TcpStream::connect(port).await.unwrap();
        let mut slow = TcpStream::connect(port).await.unwrap();
        slow.write_all(&header(&V4)[..20]).await.unwrap();
        // Served after both, so both have begun.
        let good = Dialer { before: header(&V4), ..proxy.dialer(&Identity::p256()) };
        let _ = good.ask(port, b"GET / HTTP/1.1\r\n\r\n").await;
        proxy.pass(Duration::from_secs(5)).await;
        for stream in [&mut silent, &mut slow] {
            let _ = read_to_end(stream).await;
        }
    }
}

/// HAProxy before both ports; what it listens on. It ends with the value.
fn haproxy(proxy: &Proxy, options: &str) -> (Child, [SocketAddr; 2]) {
    let mut text = "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  unique-id-format %ci\n".to_owned();
    // It is given sockets that listen already: no port is guessed, and nobody waits for it.
    let listeners = [proxy.attestation, proxy.gateway].map(|port| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        fcntl_setfd(&listener, FdFlags::empty()).unwrap();
        let fd = listener.as_raw_fd();
        text += &format!("listen port{fd}\n  bind fd@{fd}\n  server proxy {port} {options}\n");
        listener
    });
    let file = proxy.directory().join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let program = if Path::new("/usr/sbin/haproxy").exists() { "/usr/sbin/haproxy" } else { "haproxy" };
    let child = Command::new(program).args(["-db", "-f"]).arg(&file).kill_on_drop(true).spawn();
    let child = child.expect("HAProxy, which `make setup-test` installs");
    (child, listeners.map(|listener| listener.local_addr().unwrap()))
}

fn header(block: &[u8]) -> Vec<u8> {
    let family = if block.starts_with(&V6[..4]) { 0x21 } else { 0x11 };
    let [high, low] = (block.len() as u16).to_be_bytes();
    [SIGNATURE, &[0x21, family, high, low], block].concat()
}

/// No balancer.
fn elsewhere() -> IpAddr {
    "127.0.0.2".parse().unwrap()
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// From 192.0.2.7:4711 to 203.0.113.1:443.
const V4: [u8; 12] = [192, 0, 2, 7, 203, 0, 113, 1, 0x12, 0x67, 0x01, 0xbb];

/// From [2001:db8::7]:4711 to [2001:db8::1]:443.
const V6: [u8; 36] = [
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb,
];
