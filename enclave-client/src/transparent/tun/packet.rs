use std::net::{IpAddr, SocketAddr};

use smoltcp::wire::{IpProtocol, IpVersion, Ipv4Packet, Ipv6Packet, TcpPacket};

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
    let (from, to, protocol, payload): (IpAddr, IpAddr, _, _) = match IpVersion::of_packet(packet).ok()? {
        IpVersion::Ipv4 => {
            let packet = Ipv4Packet::new_checked(packet).ok()?;
            if packet.more_frags() || packet.frag_offset() != 0 {
                return None;
            }
            let protocol = packet.next_header();
            (packet.src_addr().into(), packet.dst_addr().into(), protocol, packet.payload())
        }
        IpVersion::Ipv6 => {
            let packet = Ipv6Packet::new_checked(packet).ok()?;
            let protocol = packet.next_header();
            (packet.src_addr().into(), packet.dst_addr().into(), protocol, packet.payload())
        }
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
