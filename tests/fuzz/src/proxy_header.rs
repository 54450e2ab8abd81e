//! The PROXY protocol's header, and whether what is accepted stands where its specification says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use countersign_proxy::proxy_protocol::{Header, MAX_LEN, PREFIX_LEN, Prefix};

/// Any bytes as a header: what is accepted has the addresses that stand at their fixed places, and only those.
pub fn raw(bytes: &[u8]) {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_LEN>() else { return };
    let Ok(read) = Prefix::parse(*prefix) else { return };
    assert!(read.rest_len() <= MAX_LEN);
    assert_eq!(&prefix[..12], b"\r\n\r\n\0\r\nQUIT\n");
    let Some(rest) = rest.get(..read.rest_len()) else {
        assert!(read.finish(rest).is_err(), "a header that is not whole");
        return;
    };
    match read.finish(rest) {
        Err(_) => {}
        Ok(Header::Local) => assert_eq!(prefix[12], 0x20),
        Ok(Header::Proxied { source, destination }) => {
            assert_eq!(prefix[12], 0x21);
            assert_eq!((source, destination), fixed(prefix[13], rest));
        }
    }
    assert!(read.finish(&[rest, &[0]].concat()).is_err(), "a byte too many");
}

/// The addresses of a family at their places (section 2.2).
fn fixed(family: u8, rest: &[u8]) -> (SocketAddr, SocketAddr) {
    let size = if family == 0x11 { 4 } else { 16 };
    let address = |at: usize| match size {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(&rest[at..at + 4]).unwrap())),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(&rest[at..at + 16]).unwrap()).to_canonical(),
    };
    let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    ((address(0), port(2 * size)).into(), (address(size), port(2 * size + 2)).into())
}
