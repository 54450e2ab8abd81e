use std::net::{IpAddr, SocketAddr};

use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket};

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    /// The program.
    pub(super) from: SocketAddr,
    /// What it dials.
    pub(super) to: SocketAddr,
}

/// What a packet is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// TCP: the first packet of a connection.
    Syn(Flow),
    /// TCP: any other.
    Segment(Flow),
    /// UDP, which is not carried.
    Datagram,
}

/// Looks at a packet's headers. `None`: nothing that anybody here has an answer to (ICMP, multicast,
/// fragments, extension headers, half packets).
pub(super) fn classify(packet: &[u8]) -> Option<Kind> {
    let version = packet.first()? >> 4;
    let (from, to, protocol, payload): (IpAddr, IpAddr, _, _) = match version {
        4 => {
            let packet = Ipv4Packet::new_checked(packet).ok()?;
            if packet.more_frags() || packet.frag_offset() != 0 {
                return None;
            }
            let protocol = packet.next_header();
            (packet.src_addr().into(), packet.dst_addr().into(), protocol, packet.payload())
        }
        6 => {
            let packet = Ipv6Packet::new_checked(packet).ok()?;
            let protocol = packet.next_header();
            (packet.src_addr().into(), packet.dst_addr().into(), protocol, packet.payload())
        }
        _ => return None,
    };
    if [from, to].iter().any(|address| address.is_multicast() || address.is_unspecified()) {
        return None;
    }
    match protocol {
        IpProtocol::Udp => Some(Kind::Datagram),
        IpProtocol::Tcp => {
            let segment = TcpPacket::new_checked(payload).ok()?;
            let flow = Flow {
                from: SocketAddr::new(from, segment.src_port()),
                to: SocketAddr::new(to, segment.dst_port()),
            };
            match segment.syn() && !segment.ack() && !segment.rst() && !segment.fin() {
                true => Some(Kind::Syn(flow)),
                false => Some(Kind::Segment(flow)),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;

    /// An IPv4 header without options, from 198.18.0.0 to 198.18.0.7.
    fn v4(protocol: u8, fragment: [u8; 2], payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
        let mut packet = vec![0x45, 0, len[0], len[1], 0, 0, fragment[0], fragment[1], 64, protocol, 0, 0];
        packet.extend([198, 18, 0, 0, 198, 18, 0, 7]);
        packet.extend(payload);
        packet
    }

    /// From port 4660 to 443.
    fn tcp(flags: u8) -> Vec<u8> {
        let mut segment = vec![0x12, 0x34, 1, 187];
        segment.extend([0; 8]);
        segment.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
        segment
    }

    #[test]
    fn what_a_packet_is_about() {
        let flow = Flow { from: "198.18.0.0:4660".parse().unwrap(), to: "198.18.0.7:443".parse().unwrap() };
        let whole = [0, 0];
        for (packet, kind) in [
            (v4(6, whole, &tcp(SYN)), Some(Kind::Syn(flow))),
            (v4(6, whole, &tcp(SYN | ACK)), Some(Kind::Segment(flow))),
            (v4(6, whole, &tcp(ACK)), Some(Kind::Segment(flow))),
            (v4(6, whole, &tcp(0x04)), Some(Kind::Segment(flow))),
            (v4(6, whole, &tcp(SYN | 0x01)), Some(Kind::Segment(flow))),
            (v4(17, whole, &[0; 8]), Some(Kind::Datagram)),
            (v4(1, whole, &[8; 8]), None),
            (v4(6, [0x20, 0], &tcp(SYN)), None),
            (v4(6, [0, 1], &tcp(SYN)), None),
        ] {
            assert_eq!(classify(&packet), kind, "{packet:?}");
        }
        let mut sixth = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
        sixth.extend([0x20; 32]);
        sixth.extend(tcp(SYN));
        assert!(matches!(classify(&sixth), Some(Kind::Syn(flow)) if flow.to.is_ipv6()));
        // To a group.
        sixth[24] = 0xff;
        assert_eq!(classify(&sixth), None);
    }

    #[test]
    fn half_packets_are_nothing() {
        let packet = v4(6, [0, 0], &tcp(SYN));
        for len in 0..packet.len() {
            assert_eq!(classify(&packet[..len]), None, "{len}");
        }
    }
}
