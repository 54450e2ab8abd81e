use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is, as far as a proxy must care.
///
/// A name says nothing about where it leads: whoever owns a zone can point it
/// at `169.254.169.254`. So the address a name resolved to is classified, and
/// only [`AddressClass::Ordinary`] may be dialled without being named by rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// Any other unicast address, private networks included: a VPC is a usual
    /// place for a destination.
    Ordinary,
    /// The machine itself: `127.0.0.0/8`, `::1`.
    Loopback,
    /// The link: `169.254.0.0/16`, `fe80::/10`; there the metadata services live.
    LinkLocal,
    /// Amazon's metadata and resolver addresses beyond the link: `fd00:ec2::/32`.
    Metadata,
    /// No unicast destination at all: unspecified, `0.0.0.0/8`, multicast, broadcast, `240.0.0.0/4`.
    NotUnicast,
}

/// Classifies an address, looking through IPv4 addresses carried inside IPv6
/// (mapped, NAT64 and 6to4), so that no spelling escapes the rule for the other.
pub fn classify(address: IpAddr) -> AddressClass {
    match embedded(address) {
        IpAddr::V4(v4) => classify_v4(v4),
        IpAddr::V6(v6) => classify_v6(v6),
    }
}

/// An IPv4-mapped IPv6 address (`::ffff:0:0/96`, RFC 4291 section 2.5.5.2) as
/// the IPv4 address that a socket would dial; any other address unchanged.
pub fn unmap(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The IPv4 address that an IPv6 one carries (mapped, NAT64, 6to4, IPv4-compatible);
/// any other address unchanged.
pub(crate) fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = unmap(address) else {
        return unmap(address);
    };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match [a, b, c, d, e, f] {
        // NAT64: RFC 6052 well-known prefix, RFC 8215 local-use prefix.
        [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        [0x64, 0xff9b, 1, ..] => v4(g, h),
        // 6to4, RFC 3056.
        [0x2002, high, low, ..] => v4(high, low),
        // IPv4-compatible, RFC 4291 section 2.5.5.1; `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0] if g != 0 => v4(g, h),
        _ => v6.into(),
    }
}

fn classify_v4(v4: Ipv4Addr) -> AddressClass {
    let [first, ..] = v4.octets();
    if v4.is_loopback() {
        AddressClass::Loopback
    } else if v4.is_link_local() {
        AddressClass::LinkLocal
    } else if first == 0 || first >= 224 {
        AddressClass::NotUnicast
    } else {
        AddressClass::Ordinary
    }
}

fn classify_v6(v6: Ipv6Addr) -> AddressClass {
    let [a, b, ..] = v6.segments();
    if v6.is_loopback() {
        AddressClass::Loopback
    } else if v6.is_unicast_link_local() {
        AddressClass::LinkLocal
    } else if (a, b) == (0xfd00, 0xec2) {
        AddressClass::Metadata
    } else if v6.is_unspecified() || v6.is_multicast() {
        AddressClass::NotUnicast
    } else {
        AddressClass::Ordinary
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AddressClass::*;

    #[test]
    fn every_spelling_of_a_special_address_is_special() {
        for (text, class) in [
            ("8.8.8.8", Ordinary),
            ("10.0.0.1", Ordinary),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("::127.0.0.1", Loopback),
            ("64:ff9b::7f00:1", Loopback),
            ("2002:7f00:1::1", Loopback),
            ("::1", Loopback),
            ("169.254.169.254", LinkLocal),
            ("::ffff:169.254.169.254", LinkLocal),
            ("64:ff9b::a9fe:a9fe", LinkLocal),
            ("64:ff9b:1::a9fe:a9fe", LinkLocal),
            ("fe80::1", LinkLocal),
            ("fd00:ec2::254", Metadata),
            ("fd00:ec3::254", Ordinary),
            ("0.0.0.0", NotUnicast),
            ("0.1.2.3", NotUnicast),
            ("::", NotUnicast),
            ("224.0.0.1", NotUnicast),
            ("255.255.255.255", NotUnicast),
            ("ff02::1", NotUnicast),
            ("2001:db8::1", Ordinary),
        ] {
            assert_eq!(classify(text.parse().unwrap()), class, "{text}");
        }
    }
}
