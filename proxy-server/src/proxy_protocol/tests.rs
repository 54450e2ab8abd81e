use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{crc32c::crc32c, header::SIGNATURE, tlv::CRC32C, *};

const PROXY: u8 = 0x21;
const LOCAL: u8 = 0x20;
const V4: u8 = 0x11;

#[test]
fn both_families_are_read() {
    let source = "192.0.2.7:4711".parse().unwrap();
    let destination = "203.0.113.1:443".parse().unwrap();
    assert_eq!(read(&header(source, destination, &[])), Ok(Header::Proxied { source, destination }));
    let source = "[2001:db8::7]:4711".parse().unwrap();
    let destination = "[2001:db8::1]:443".parse().unwrap();
    assert_eq!(read(&header(source, destination, &[])), Ok(Header::Proxied { source, destination }));
    let mapped = header("[::ffff:192.0.2.7]:1".parse().unwrap(), destination, &[]);
    assert_eq!(
        read(&mapped),
        Ok(Header::Proxied { source: "192.0.2.7:1".parse().unwrap(), destination }),
        "an address has one spelling here"
    );
}

#[test]
fn a_local_header_says_nothing_whatever_it_says() {
    for (family, rest) in [(0, &[][..]), (V4, &[]), (0x31, &[0; 216]), (0xff, &[3, 0, 9])] {
        assert_eq!(read(&raw(LOCAL, family, rest)), Ok(Header::Local), "{family:#x}");
    }
}

#[test]
fn each_defect_has_its_error() {
    let good = example(&[]);
    let fields = |fields: &[u8]| example(fields);
    let mut signature = good.clone();
    signature[11] = b'\r';
    let mut announced = good.clone();
    announced[15] = 13;
    for (name, bytes, expected) in [
        ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03random".to_vec(), HeaderError::NoHeader),
        ("signature", signature, HeaderError::NoHeader),
        ("version-1", b"PROXY TCP4 192.0.2.7 203.0.113.1 1 2\r\n".to_vec(), HeaderError::VersionOne),
        ("version-3", raw(0x31, V4, &[0; 12]), HeaderError::Version { found: 3 }),
        ("command", raw(0x22, V4, &[0; 12]), HeaderError::Command { found: 2 }),
        ("unspec", raw(PROXY, 0x00, &[]), HeaderError::Family { found: 0 }),
        ("datagram", raw(PROXY, 0x12, &[0; 12]), HeaderError::Family { found: 0x12 }),
        ("unix", raw(PROXY, 0x31, &[0; 216]), HeaderError::Family { found: 0x31 }),
        ("too-long", raw(PROXY, V4, &[0; MAX_LEN + 1]), HeaderError::TooLong { found: MAX_LEN + 1 }),
        ("local-too-long", raw(LOCAL, 0, &[0; MAX_LEN + 1]), HeaderError::TooLong { found: MAX_LEN + 1 }),
        ("truncated", announced, HeaderError::Truncated { expected: 13, found: 12 }),
        ("short", raw(PROXY, V4, &[0; 11]), HeaderError::AddressesTruncated { expected: 12, found: 11 }),
        (
            "v4-for-v6",
            raw(PROXY, 0x21, &[0; 12]),
            HeaderError::AddressesTruncated { expected: 36, found: 12 },
        ),
        ("field-head", fields(&[4, 0]), HeaderError::Field { at: 0 }),
        ("field-long", fields(&[4, 0, 0, 1, 0, 2, b'h']), HeaderError::Field { at: 3 }),
        ("crc-short", fields(&[CRC32C, 0, 3, 1, 2, 3]), HeaderError::ChecksumLength { found: 3 }),
    ] {
        assert_eq!(read(&bytes), Err(expected), "{name}");
    }
}

#[test]
fn a_checksum_is_checked_and_stands_once() {
    let whole = checked(&[4, 0, 1, 0]);
    assert!(matches!(read(&whole), Ok(Header::Proxied { .. })));
    let found = u32::from_be_bytes(whole[whole.len() - 4..].try_into().unwrap());
    let mut wrong = whole.clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(read(&wrong), Err(HeaderError::Checksum { expected: found, found: found ^ 1 }));

    // The first of two holds over the second, which is refused for being there.
    let mut twice = example(&[CRC32C, 0, 4, 0, 0, 0, 0, CRC32C, 0, 4, 1, 2, 3, 4]);
    let crc = crc32c([&twice[..]]);
    twice[31..35].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(read(&twice), Err(HeaderError::ChecksumTwice));
}

/// Any addresses and fields come back. With a checksum, no changed bit makes them
/// others: at the most it hides the checksum itself, or makes a PROXY a LOCAL.
#[test]
fn generated_headers_come_back_and_no_changed_bit_moves_an_address() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..300 {
        let (source, destination) =
            if round % 2 == 0 { (random.v4(), random.v4()) } else { (random.v6(), random.v6()) };
        let mut fields = Vec::new();
        for _ in 0..random.below(4) {
            let value: Vec<u8> = (0..random.below(40)).map(|_| random.below(256) as u8).collect();
            let kind = 0x20 + random.below(0x20) as u8;
            fields.extend([kind, 0, value.len() as u8]);
            fields.extend(value);
        }
        fields.extend([CRC32C, 0, 4, 0, 0, 0, 0]);
        let mut bytes = header(source, destination, &fields);
        let crc = crc32c([&bytes[..]]);
        let end = bytes.len() - 4;
        bytes[end..].copy_from_slice(&crc.to_be_bytes());
        let expected = Header::Proxied { source, destination };
        assert_eq!(read(&bytes), Ok(expected));

        for cut in 0..bytes.len() {
            assert_ne!(read(&bytes[..cut]), Ok(expected), "cut at {cut}");
        }
        let at = random.below(bytes.len() as u64) as usize;
        let mut changed = bytes.clone();
        changed[at] ^= 1 << random.below(8);
        let outcome = read(&changed);
        match outcome {
            Err(_) => {}
            Ok(Header::Local) => assert_eq!(at, 12, "{bytes:?}"),
            Ok(proxied) => {
                assert!(proxied == expected && at >= 16 + 12, "byte {at} of {bytes:?}: {proxied:?}")
            }
        }
    }
}

#[tokio::test]
async fn only_a_balancers_header_is_read_and_nothing_after_it() {
    let trusted = balancers("127.0.0.1/32");
    let (mut server, mut client, peer) = connection().await;
    let mut bytes = example(&[4, 0, 1, 0]);
    bytes.extend(b"TLS");
    client.write_all(&bytes).await.unwrap();
    let named = trusted.client(&mut server, peer).await.unwrap();
    assert_eq!(named, "192.0.2.7:4711".parse().unwrap());
    let mut rest = [0; 3];
    server.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"TLS");

    let (mut server, mut client, peer) = connection().await;
    client.write_all(&raw(LOCAL, 0, &[])).await.unwrap();
    assert_eq!(trusted.client(&mut server, peer).await.unwrap(), peer);

    // From anybody else nothing is read: TLS finds the header, and refuses it.
    for networks in [balancers("10.0.0.0/8"), LoadBalancers::default()] {
        let (mut server, mut client, peer) = connection().await;
        client.write_all(&bytes).await.unwrap();
        assert_eq!(networks.client(&mut server, peer).await.unwrap(), peer);
        let mut all = vec![0; bytes.len()];
        server.read_exact(&mut all).await.unwrap();
        assert_eq!(all, bytes);
    }
}

#[tokio::test]
async fn a_header_that_ends_early_is_an_end() {
    let trusted = balancers("127.0.0.0/8");
    let bytes = example(&[]);
    for cut in [0, 1, 15, 16, bytes.len() - 1] {
        let (mut server, mut client, peer) = connection().await;
        client.write_all(&bytes[..cut]).await.unwrap();
        drop(client);
        let error = trusted.client(&mut server, peer).await.unwrap_err();
        assert_eq!(error.code(), "handshake-io", "{cut}: {error}");
    }
}

#[test]
fn nobody_trusts_every_address() {
    for all in ["0.0.0.0/0", "::/0"] {
        assert_eq!(
            LoadBalancers::new(["10.0.0.0/8", all].map(|net| net.parse().unwrap())),
            Err(EveryAddress)
        );
    }
}

fn read(bytes: &[u8]) -> Result<Header, HeaderError> {
    let too_short = HeaderError::Truncated { expected: PREFIX_LEN, found: bytes.len() };
    let (prefix, rest) = bytes.split_first_chunk().ok_or(too_short)?;
    Prefix::parse(*prefix)?.finish(rest)
}

fn raw(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend(rest);
    bytes
}

fn header(source: SocketAddr, destination: SocketAddr, fields: &[u8]) -> Vec<u8> {
    let mut rest = Vec::new();
    let family = match (source, destination) {
        (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
            rest.extend(source.ip().octets());
            rest.extend(destination.ip().octets());
            V4
        }
        (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
            rest.extend(source.ip().octets());
            rest.extend(destination.ip().octets());
            0x21
        }
        mixed => panic!("{mixed:?}"),
    };
    rest.extend(source.port().to_be_bytes());
    rest.extend(destination.port().to_be_bytes());
    rest.extend(fields);
    raw(PROXY, family, &rest)
}

fn example(fields: &[u8]) -> Vec<u8> {
    header("192.0.2.7:4711".parse().unwrap(), "203.0.113.1:443".parse().unwrap(), fields)
}

/// The example with these fields and a checksum after them.
fn checked(fields: &[u8]) -> Vec<u8> {
    let mut bytes = example(&[fields, &[CRC32C, 0, 4, 0, 0, 0, 0]].concat());
    let crc = crc32c([&bytes[..]]);
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn balancers(network: &str) -> LoadBalancers {
    LoadBalancers::new([network.parse().unwrap()]).unwrap()
}

/// Both ends, and the client's address.
async fn connection() -> (TcpStream, TcpStream, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    (server, client, peer)
}

/// xorshift64: the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn v4(&mut self) -> SocketAddr {
        (self.bytes::<4>(), self.below(65536) as u16).into()
    }

    fn v6(&mut self) -> SocketAddr {
        (self.bytes::<16>(), self.below(65536) as u16).into()
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.below(256) as u8)
    }
}
