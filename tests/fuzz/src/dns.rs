//! Queries to the resolver of the enclave's transparent mode.

use countersign_enclave::transparent::dns::{Existence, Family, Found, Names, answer};
use countersign_protocol::Host;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Any bytes as a query: what is asked for is a normalised name, an answer is one to this
/// query, fits into a datagram, and is itself never answered.
pub fn raw(bytes: &[u8]) {
    let Some(reply) = answer(bytes, &Everything) else {
        assert!(bytes.len() < 12 || bytes[2] & 0x80 != 0, "a query without an answer");
        return;
    };
    assert!(reply.len() >= 12 && reply.len() <= 1232, "{} bytes", reply.len());
    assert_eq!(reply[..2], bytes[..2], "the answer to another query");
    assert_eq!(reply[2] & 0x82, 0x80, "no answer, or a truncated one");
    let count = |at: usize| u16::from_be_bytes([reply[at], reply[at + 1]]);
    assert!(count(4) <= 1 && count(6) <= 1 && count(8) == 0 && count(10) <= 1, "too many records");
    let code = reply[3] & 0x0f;
    assert!(count(6) == 0 || code == 0, "an answer with the error {code}");
    assert_eq!(answer(&reply, &Everything), None, "an answer to an answer");
    assert_eq!(answer(bytes, &Everything), Some(reply), "answered otherwise the second time");
}

/// Knows every name, and that it is one.
struct Everything;

fn assert_normal(name: &str) {
    assert_eq!(name.parse(), Ok(Host::Name(name.into())), "not a normalised name");
}

impl Names for Everything {
    fn address(&self, name: &str, family: Family) -> Found {
        assert_normal(name);
        match family {
            _ if name.starts_with('n') => Found::NoName,
            _ if name.starts_with('r') => Found::NoRoom,
            Family::V4 => Found::Address(Ipv4Addr::new(198, 18, 0, 1).into()),
            Family::V6 => Found::Address(Ipv6Addr::LOCALHOST.into()),
        }
    }

    fn exists(&self, name: &str) -> Existence {
        assert_normal(name);
        if name.starts_with('n') { Existence::NoName } else { Existence::Exists }
    }

    fn name_of(&self, address: IpAddr) -> Option<Box<str>> {
        (!address.is_ipv6()).then(|| "a-name.example".into())
    }
}
