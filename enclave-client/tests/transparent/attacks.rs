//! What a program inside may try, and what the kernel does by itself.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use countersign_enclave::transparent::Limits;
use hickory_proto::op::ResponseCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::{
    enclave::{Enclave, get, resolve, web_server},
    namespace::inside,
};

/// No name gives way to another at once, and no address waits for one.
fn hasty(names: usize) -> Limits {
    Limits { names, hold: Duration::ZERO, ..Limits::default() }
}

fn kind<T: std::fmt::Debug>(result: std::io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn there_is_no_way_round() {
    inside("attacks::there_is_no_way_round", || async {
        let _enclave = Enclave::start("round", Limits::default()).await;
        // Addresses outside, the metadata service, an address of the pool that stands for no name.
        for text in ["192.0.2.1", "10.1.2.3", "169.254.169.254", "2001:db8::1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(
                kind(TcpStream::connect((address, 80)).await),
                ErrorKind::NetworkUnreachable,
                "{text}"
            );
        }
        for text in ["198.18.0.1", "198.19.255.254", "fd5c:8b1e:46d0::1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(kind(TcpStream::connect((address, 80)).await), ErrorKind::ConnectionRefused, "{text}");
        }
    });
}

/// QUIC, NTP and DNS to elsewhere must fail at once, so that clients fall back to TCP.
#[test]
fn udp_is_refused_at_once() {
    inside("attacks::udp_is_refused_at_once", || async {
        let _enclave = Enclave::start("udp", Limits::default()).await;
        let address = resolve("web.example").await.unwrap();
        for port in [443, 123, 53] {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
            socket.connect((address, port)).await.unwrap();
            socket.send(b"hello").await.unwrap();
            assert_eq!(kind(socket.recv(&mut [0]).await), ErrorKind::ConnectionRefused, "{port}");
        }
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        assert_eq!(kind(socket.connect(("192.0.2.1", 443)).await), ErrorKind::NetworkUnreachable);
    });
}

#[test]
fn two_names_never_share_an_address() {
    inside("attacks::two_names_never_share_an_address", || async {
        let _enclave = Enclave::start("share", Limits::default()).await;
        let one = resolve("one.wild.example").await.unwrap();
        let two = resolve("two.wild.example").await.unwrap();
        assert_ne!(one, two);
        assert_eq!(resolve("ONE.wild.example").await, Ok(one));
        assert_eq!(resolve("evil.wild.example").await, Err(ResponseCode::NXDomain));
        assert_eq!(resolve("a.b.wild.example").await, Err(ResponseCode::NXDomain));
    });
}

/// Rebinding: an address that a program kept must never lead to another name.
#[test]
fn the_address_of_a_forgotten_name_leads_nowhere() {
    inside("attacks::the_address_of_a_forgotten_name_leads_nowhere", || async {
        let _enclave = Enclave::start("rebinding", hasty(1)).await;
        web_server((Ipv4Addr::LOCALHOST, 80).into(), "hello").await;
        let kept = resolve("one.wild.example").await.unwrap();
        assert_eq!(get(kept, 80).await.unwrap(), "hello");
        // The connection ends on both sides before the name can be pushed out.
        let next = loop {
            match resolve("two.wild.example").await {
                Ok(next) => break next,
                Err(code) => assert_eq!(code, ResponseCode::ServFail),
            }
        };
        assert_ne!(kept, next);
        assert_eq!(get(next, 80).await.unwrap(), "hello");
        assert_eq!(kind(refused(kept).await), ErrorKind::ConnectionRefused);
    });
}

/// The listener goes a moment after its name: until then a connection is let in or reset, and
/// what it reaches is still the name it was for.
async fn refused(address: Ipv4Addr) -> std::io::Result<()> {
    loop {
        match TcpStream::connect((address, 80)).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(why) if why.kind() == ErrorKind::ConnectionReset => {}
            Err(why) => return Err(why),
        }
    }
}

#[test]
fn a_name_with_a_connection_is_not_pushed_out() {
    inside("attacks::a_name_with_a_connection_is_not_pushed_out", || async {
        let enclave = Enclave::start("pushed", hasty(1)).await;
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 80)).await.unwrap();
        let address = resolve("one.wild.example").await.unwrap();
        let mut near = TcpStream::connect((address, 80)).await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        for _ in 0..100 {
            assert_eq!(resolve("two.wild.example").await, Err(ResponseCode::ServFail));
        }
        assert_ne!(enclave.logged(&["name-denied", "every name that has an address is in use"]), [""; 0]);
        near.write_all(b"still").await.unwrap();
        let mut heard = [0; 5];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"still");
        // A half-close goes through, and the other direction lives on.
        near.shutdown().await.unwrap();
        assert_eq!(far.read(&mut heard).await.unwrap(), 0);
        far.write_all(b"there").await.unwrap();
        near.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"there");
    });
}

/// A wildcard lets a program ask for any number of names.
#[test]
fn a_hundred_thousand_names_are_bounded_and_an_old_one_still_works() {
    inside("attacks::a_hundred_thousand_names_are_bounded_and_an_old_one_still_works", || async {
        let limits = Limits { sockets: 200, ..hasty(5000) };
        let enclave = Enclave::start("exhaustion", limits).await;
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 80)).await.unwrap();
        let kept = resolve("web.example").await.unwrap();
        let mut near = TcpStream::connect((kept, 80)).await.unwrap();
        let (mut far, _) = server.accept().await.unwrap();
        let mut answered = 0;
        for index in 0..100_000 {
            match resolve(&format!("n{index}.wild.example")).await {
                Ok(address) => {
                    assert_ne!(address, kept);
                    answered += 1;
                }
                Err(code) => assert_eq!(code, ResponseCode::ServFail),
            }
            if index % 10_000 == 0 {
                let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
                assert!(open < 1000, "{open} descriptors");
            }
        }
        assert_eq!(answered, 100_000, "{:?}", enclave.logged(&["WARN"]).last());
        assert_eq!(resolve("web.example").await, Ok(kept));
        near.write_all(b"still").await.unwrap();
        let mut heard = [0; 5];
        far.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"still");
    });
}

#[test]
fn denied_names_in_a_flood_do_not_fill_the_log() {
    inside("attacks::denied_names_in_a_flood_do_not_fill_the_log", || async {
        let enclave = Enclave::start("flood", Limits::default()).await;
        for index in 0..5000 {
            assert_eq!(resolve(&format!("n{index}.example")).await, Err(ResponseCode::NXDomain));
        }
        let lines = enclave.logged(&["name-denied"]).len();
        // Twenty in ten seconds: far fewer than were asked for, however slow the machine.
        assert!((20..2500).contains(&lines), "{lines} lines");
    });
}

/// Junk, answers and half messages, and then a question.
#[test]
fn junk_does_not_stop_the_resolver() {
    inside("attacks::junk_does_not_stop_the_resolver", || async {
        let _enclave = Enclave::start("junk", Limits::default()).await;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut junk = 0x9e37_79b9_7f4a_7c15u64;
        for len in 0..2000usize {
            let bytes: Vec<u8> = (0..len)
                .map(|_| {
                    junk ^= junk << 13;
                    junk ^= junk >> 7;
                    junk ^= junk << 17;
                    junk as u8
                })
                .collect();
            socket.send_to(&bytes, (Ipv4Addr::LOCALHOST, 53)).await.unwrap();
        }
        assert!(resolve("web.example").await.is_ok());
    });
}

/// What both sides want at the same port: see docs/transparent.md.
#[test]
fn ports_that_the_application_listens_at_itself() {
    inside("attacks::ports_that_the_application_listens_at_itself", || async {
        let enclave = Enclave::start("ports", Limits::default()).await;
        // On loopback the application may have any port, before and after.
        web_server((Ipv4Addr::LOCALHOST, 80).into(), "the application").await;
        let address = resolve("web.example").await.unwrap();
        assert_eq!(get(address, 80).await.unwrap(), "the application", "through Egress, to 127.0.0.1:80");
        // At every address it may not, once a name is listened for at that port.
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
        assert_eq!(kind(TcpListener::bind(everywhere).await), ErrorKind::AddrInUse);

        // And where the application came first, the name is not answered: its own listener
        // would take the connection for the destination.
        let _first = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 5432)).await.unwrap();
        assert_eq!(resolve("db.example").await, Err(ResponseCode::ServFail));
        // Nor one that is allowed at another port as well.
        let _second = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 443)).await.unwrap();
        assert_eq!(resolve("two-ports.example").await, Err(ResponseCode::ServFail));
        let line = ["not-listened-for", "db.example:5432", "have it listen on 127.0.0.1"];
        assert_ne!(enclave.logged(&line), [""; 0]);
    });
}
