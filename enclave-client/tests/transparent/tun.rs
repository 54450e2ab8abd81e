//! The second way: a TUN device, and TCP in user space.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::Arc,
};

use countersign_enclave::transparent::Limits;
use countersign_protocol::egress::Action;
use hickory_proto::op::ResponseCode;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

use super::{
    enclave::{Enclave, get, resolve, web_server},
    namespace::inside,
};

/// Port 0: any.
const RULES: &[(Action, &str, u16)] = &[
    (Action::Allow, "web.example", 0),
    (Action::Deny, "web.example", 25),
    (Action::Allow, "*.wild.example", 0),
    (Action::Allow, "away.example", 80),
];

/// As [`inside`], where there is a TUN device.
pub fn with_tun<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    if !Path::new("/dev/net/tun").exists() {
        eprintln!("SKIPPED {test}: there is no /dev/net/tun here");
        return;
    }
    inside(test, body);
}

fn kind<T: std::fmt::Debug>(result: std::io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[test]
fn curl_at_any_port() {
    with_tun("tun::curl_at_any_port", || async {
        let enclave = Enclave::start_tun("tun-curl", Limits::default(), RULES).await;
        for port in [80, 41_234] {
            web_server(loopback(port), "hello").await;
        }
        let curl = async |words: &[&str]| {
            let curl = ["curl", "--silent", "--show-error", "--noproxy", "*"];
            enclave.run(&[&curl[..], words].concat()).await
        };
        for words in [
            &["http://web.example/"][..],
            &["http://web.example:41234/"],
            &["-6", "http://web.example:41234/"],
            &["http://one.wild.example:41234/"],
        ] {
            let fetched = curl(words).await;
            assert_eq!((fetched.0, &*fetched.1), (Some(0), "hello"), "{words:?} {fetched:?}");
        }
        // Denied: refused at once (7), and the log names the rule.
        let (code, _, why) = curl(&["http://web.example:25/"]).await;
        assert_eq!(code, Some(7), "{why}");
        let rule = ["not-opened", "web.example:25", "denied by rules: deny web.example:25"];
        assert_ne!(enclave.logged(&rule), [""; 0]);
        // Allowed, and nobody is there: refused too, since the handshake waits for the way out.
        let (code, _, why) = curl(&["http://web.example:9/"]).await;
        assert_eq!(code, Some(7), "{why}");
        // No rule lets it pass at any port: there is no such name (6).
        assert_eq!(curl(&["http://elsewhere.example/"]).await.0, Some(6));
    });
}

#[test]
fn refusals_are_refused_connections() {
    with_tun("tun::refusals_are_refused_connections", || async {
        let _enclave = Enclave::start_tun("tun-refused", Limits::default(), RULES).await;
        let web = resolve("web.example").await.unwrap();
        let away = resolve("away.example").await.unwrap();
        for (address, port) in
            [(web, 25), (web, 9), (away, 80), (away, 443), (Ipv4Addr::new(198, 19, 7, 7), 80)]
        {
            let refused = kind(TcpStream::connect((address, port)).await);
            assert_eq!(refused, ErrorKind::ConnectionRefused, "{address}:{port}");
        }
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(kind(TcpStream::connect((address, 80)).await), ErrorKind::NetworkUnreachable);
        // UDP, so that QUIC falls back.
        let sixth = "fd5c:8b1e:46d0::1".parse().unwrap();
        for (own, address) in [("0.0.0.0:0", web.into()), ("[::]:0", IpAddr::V6(sixth))] {
            let socket = UdpSocket::bind(own).await.unwrap();
            socket.connect((address, 443)).await.unwrap();
            socket.send(&[7; 1200]).await.unwrap();
            assert_eq!(kind(socket.recv(&mut [0]).await), ErrorKind::ConnectionRefused, "{address}");
        }
    });
}

/// What the kernel's listeners cannot: the application has the port at every address.
#[test]
fn the_application_may_listen_at_every_address() {
    with_tun("tun::the_application_may_listen_at_every_address", || async {
        let _enclave = Enclave::start_tun("tun-wildcard", Limits::default(), RULES).await;
        web_server((Ipv4Addr::UNSPECIFIED, 443).into(), "the application, and at loopback the destination")
            .await;
        let address = resolve("web.example").await.unwrap();
        let through = get(address, 443).await.unwrap();
        assert_eq!(through, "the application, and at loopback the destination");
        // And the other way round.
        let again = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 444)).await.unwrap();
        assert_eq!(again.local_addr().unwrap().port(), 444);
    });
}

#[test]
fn half_closes_and_resets_go_both_ways() {
    with_tun("tun::half_closes_and_resets_go_both_ways", || async {
        let _enclave = Enclave::start_tun("tun-halves", Limits::default(), RULES).await;
        let server = TcpListener::bind(loopback(7000)).await.unwrap();
        let address = resolve("web.example").await.unwrap();
        let pair = async || {
            let near = TcpStream::connect((address, 7000)).await.unwrap();
            (near, server.accept().await.unwrap().0)
        };
        let mut heard = [0; 5];

        // The program ends first …
        let (mut near, mut far) = pair().await;
        near.write_all(b"hello").await.unwrap();
        near.shutdown().await.unwrap();
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!((far.read(&mut heard).await.unwrap(), &heard), (0, b"hello"));
        far.write_all(b"there").await.unwrap();
        far.shutdown().await.unwrap();
        near.read_exact(&mut heard).await.unwrap();
        assert_eq!((near.read(&mut heard).await.unwrap(), &heard), (0, b"there"));

        // … or the destination.
        let (mut near, mut far) = pair().await;
        far.write_all(b"there").await.unwrap();
        far.shutdown().await.unwrap();
        near.read_exact(&mut heard).await.unwrap();
        assert_eq!((near.read(&mut heard).await.unwrap(), &heard), (0, b"there"));
        near.write_all(b"still").await.unwrap();
        near.shutdown().await.unwrap();
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!((far.read(&mut heard).await.unwrap(), &heard), (0, b"still"));

        // A reset is a reset at the other end, not an end.
        let (near, mut far) = pair().await;
        near.set_zero_linger().unwrap();
        drop(near);
        assert_eq!(kind(far.read(&mut heard).await), ErrorKind::ConnectionReset);
        let (mut near, far) = pair().await;
        far.set_zero_linger().unwrap();
        drop(far);
        assert_eq!(kind(near.read(&mut heard).await), ErrorKind::ConnectionReset);
    });
}

/// The routes of `names` stay when it ends, and the kernel would prefer them.
#[test]
fn routes_of_the_first_way_are_no_hindrance() {
    with_tun("tun::routes_of_the_first_way_are_no_hindrance", || async {
        for words in ["link set lo up", "route add local 198.18.0.0/15 dev lo proto static"] {
            let done = Command::new("ip").args(words.split(' ')).status().unwrap();
            assert!(done.success(), "ip {words}");
        }
        let _enclave = Enclave::start_tun("tun-routes", Limits::default(), RULES).await;
        web_server(loopback(7000), "hello").await;
        let address = resolve("web.example").await.unwrap();
        assert_eq!(get(address, 7000).await.unwrap(), "hello");
    });
}

/// A reader that does not read holds its writer back, and loses nothing by it.
#[test]
fn megabytes_both_ways_and_backpressure() {
    with_tun("tun::megabytes_both_ways_and_backpressure", || async {
        let _enclave = Enclave::start_tun("tun-bytes", Limits::default(), RULES).await;
        let server = TcpListener::bind(loopback(7000)).await.unwrap();
        let address = resolve("web.example").await.unwrap();
        let near = TcpStream::connect((address, 7000)).await.unwrap();
        let (far, _) = server.accept().await.unwrap();
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        let total = 64 << 20;
        tokio::join!(
            send(near_write, 1, total),
            expect(far_read, 1, total),
            send(far_write, 2, total),
            expect(near_read, 2, total),
        );

        // Nobody reads: the writer stops for good, long before 64 MiB. Then everything is read.
        let mut near = TcpStream::connect((address, 7000)).await.unwrap();
        let (far, _) = server.accept().await.unwrap();
        let block = vec![5; 1 << 16];
        let mut sent = 0;
        // Every buffer on the way is full when nothing more is taken for as long as this; on a slow
        // machine perhaps a little earlier, which changes nothing.
        while let Ok(written) =
            tokio::time::timeout(std::time::Duration::from_millis(500), near.write(&block)).await
        {
            sent += written.unwrap();
            assert!(sent < total, "a buffer without a bound");
        }
        near.shutdown().await.unwrap();
        let mut far = far;
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert_eq!(read.len(), sent);
    });
}

/// Bytes of which each position has its own.
fn pattern(seed: u64, at: usize, len: usize) -> Vec<u8> {
    (at..at + len)
        .map(|at| (at as u64 ^ (at as u64 >> 8) ^ (at as u64 >> 16)).wrapping_mul(seed) as u8)
        .collect()
}

async fn send(mut to: impl AsyncWriteExt + Unpin, seed: u64, total: usize) {
    let mut at = 0;
    while at < total {
        let block = pattern(seed, at, (total - at).min(100_000));
        to.write_all(&block).await.unwrap();
        at += block.len();
    }
    to.shutdown().await.unwrap();
}

async fn expect(mut from: impl AsyncReadExt + Unpin, seed: u64, total: usize) {
    let mut at = 0;
    let mut block = vec![0; 1 << 17];
    loop {
        match from.read(&mut block).await.unwrap() {
            0 => break,
            len => {
                assert!(block[..len] == pattern(seed, at, len), "other bytes after {at}");
                at += len;
            }
        }
    }
    assert_eq!(at, total);
}

#[test]
fn two_hundred_at_once() {
    with_tun("tun::two_hundred_at_once", || async {
        let _enclave = Enclave::start_tun("tun-many", Limits::default(), RULES).await;
        let server = TcpListener::bind(loopback(7000)).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = server.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await?;
                    write.shutdown().await
                });
            }
        });
        let address = resolve("web.example").await.unwrap();
        let all_open = Arc::new(tokio::sync::Barrier::new(200));
        let mut clients = JoinSet::new();
        for seed in 0..200 {
            let all_open = all_open.clone();
            clients.spawn(async move {
                let near = TcpStream::connect((address, 7000)).await.unwrap();
                all_open.wait().await;
                let (read, write) = near.into_split();
                tokio::join!(send(write, seed, 300_000), expect(read, seed, 300_000));
            });
        }
        assert_eq!(clients.join_all().await.len(), 200);
    });
}

/// Destinations that never answer: a bound on how many are waited for, and the others go on.
#[test]
fn a_flood_of_connections_is_bounded() {
    with_tun("tun::a_flood_of_connections_is_bounded", || async {
        let limits = Limits { tun_half_open: 50, ..Limits::default() };
        let enclave = Enclave::start_tun("tun-flood", limits, RULES).await;
        // Its backlog is full after two connections, and then the kernel answers no SYN.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        silent.bind(&loopback(7001).into()).unwrap();
        silent.listen(1).unwrap();
        let address = resolve("web.example").await.unwrap();
        let mut flood = Vec::new();
        for _ in 0..1000 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            assert_eq!(
                socket.connect(&SocketAddr::from((address, 7001)).into()).unwrap_err().raw_os_error(),
                Some(rustix::io::Errno::INPROGRESS.raw_os_error())
            );
            flood.push(socket);
        }
        // Somebody else gets through meanwhile. Having been answered, it also came behind the flood.
        web_server(loopback(7002), "hello").await;
        assert_eq!(get(address, 7002).await.unwrap(), "hello");
        assert_ne!(enclave.logged(&["half-open", "web.example:7001", "given up for a newer one"]), [""; 0]);
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
        // The flood's own, and one for each way out that is waited for.
        assert!(open < 1000 + 50 + 50, "{open} descriptors");
    });
}

#[test]
fn connections_over_the_limit_are_refused() {
    with_tun("tun::connections_over_the_limit_are_refused", || async {
        let limits = Limits { tun_connections: 2, ..Limits::default() };
        let enclave = Enclave::start_tun("tun-limit", limits, RULES).await;
        let server = TcpListener::bind(loopback(7000)).await.unwrap();
        let address = resolve("web.example").await.unwrap();
        let one = TcpStream::connect((address, 7000)).await.unwrap();
        let two = TcpStream::connect((address, 7000)).await.unwrap();
        assert_eq!(kind(TcpStream::connect((address, 7000)).await), ErrorKind::ConnectionRefused);
        assert_ne!(enclave.logged(&["overloaded", "web.example:7000"]), [""; 0]);
        // A place is free again when one has ended.
        let (far, _) = server.accept().await.unwrap();
        drop((one, far));
        let three = loop {
            match TcpStream::connect((address, 7000)).await {
                Ok(three) => break three,
                Err(why) => assert_eq!(why.kind(), ErrorKind::ConnectionRefused),
            }
        };
        drop((two, three));
    });
}

/// As in way one: an address that a program kept leads to nobody else.
#[test]
fn the_address_of_a_forgotten_name_is_refused() {
    with_tun("tun::the_address_of_a_forgotten_name_is_refused", || async {
        let limits = Limits { names: 1, hold: std::time::Duration::ZERO, ..Limits::default() };
        let _enclave = Enclave::start_tun("tun-forgotten", limits, RULES).await;
        let server = TcpListener::bind(loopback(7000)).await.unwrap();
        let kept = resolve("one.wild.example").await.unwrap();
        let near = TcpStream::connect((kept, 7000)).await.unwrap();
        let (far, _) = server.accept().await.unwrap();
        // With a connection it keeps its address.
        assert_eq!(resolve("two.wild.example").await, Err(ResponseCode::ServFail));
        drop((near, far));
        let next = loop {
            match resolve("two.wild.example").await {
                Ok(next) => break next,
                Err(code) => assert_eq!(code, ResponseCode::ServFail),
            }
        };
        assert_ne!(kept, next);
        assert_eq!(kind(TcpStream::connect((kept, 7000)).await), ErrorKind::ConnectionRefused);
        TcpStream::connect((next, 7000)).await.unwrap();
    });
}

/// A program that may send raw packets: to nobody, and into a connection that there is.
#[test]
fn junk_packets_do_not_stop_it() {
    with_tun("tun::junk_packets_do_not_stop_it", || async {
        let _enclave = Enclave::start_tun("tun-junk", Limits::default(), RULES).await;
        let server = TcpListener::bind(loopback(7000)).await.unwrap();
        let address = resolve("web.example").await.unwrap();
        let near = TcpStream::connect((address, 7000)).await.unwrap();
        let _far = server.accept().await.unwrap();
        let ports = [near.local_addr().unwrap().port().to_be_bytes(), 7000u16.to_be_bytes()].concat();
        let to = SocketAddr::from((address, 0)).into();
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMPV4, Protocol::SCTP] {
            let raw = Socket::new(Domain::IPV4, Type::RAW, Some(protocol)).unwrap();
            for _ in 0..5000 {
                let mut bytes: Vec<u8> = (0..random() % 120).map(|_| random() as u8).collect();
                // Half of them into the connection, with a header of a length that is one.
                if random() % 2 == 0 && bytes.len() >= 20 {
                    bytes[..4].copy_from_slice(&ports);
                    bytes[12] = 0x50 + ((random() % 11) as u8) * 16;
                }
                // What the device's queue does not hold is lost.
                let _ = raw.send_to(&bytes, &to);
            }
        }
        web_server(loopback(7002), "hello").await;
        assert_eq!(get(address, 7002).await.unwrap(), "hello");
    });
}
