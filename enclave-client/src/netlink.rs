//! Three kinds of request to the kernel's tables of links, addresses and routes (rtnetlink(7)), as
//! bytes: an enclave's image has no `ip` program, and a crate for all of netlink would be
//! larger than everything else here.

use std::{io, net::IpAddr};

use ipnet::IpNet;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice, netlink, recv, sendto,
        socket, socket_with,
    },
};

/// Takes the loopback interface into service, as `ip link set lo up` does. Done already: no change.
pub(crate) fn loopback_up() -> io::Result<()> {
    request(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, &link_up(LOOPBACK_INDEX))
}

/// Takes an interface into service, for packets of up to `mtu` bytes, of which `queue` may wait.
pub(crate) fn device_up(index: u32, mtu: u32, queue: u32) -> io::Result<()> {
    let mut body = link_up(index);
    attribute(&mut body, IFLA_MTU, &mtu.to_ne_bytes());
    attribute(&mut body, IFLA_TXQLEN, &queue.to_ne_bytes());
    request(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, &body)
}

/// An interface's number.
pub(crate) fn index_of(name: &str) -> io::Result<u32> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(netdevice::name_to_index(&any, name)?)
}

/// Gives an interface one address, as `ip address add ADDRESS dev NAME nodad` does. Nobody else
/// is on the link, so IPv6 need not look for others who have it.
pub(crate) fn add_address(address: IpAddr, index: u32) -> io::Result<()> {
    let (family, octets) = family_and_octets(address);
    let bits = if address.is_ipv4() { 32 } else { 128 };
    // struct ifaddrmsg: family, prefix length, flags, scope, index.
    let mut body = vec![family, bits, IFA_F_NODAD, RT_SCOPE_UNIVERSE];
    body.extend(index.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &octets);
    attribute(&mut body, IFA_ADDRESS, &octets);
    request(RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &body)
}

/// Sends packets for a network to an interface, as `ip route add NETWORK dev NAME` does.
pub(crate) fn route_to_device(network: IpNet, index: u32) -> io::Result<()> {
    let scope = if network.addr().is_ipv4() { RT_SCOPE_LINK } else { RT_SCOPE_UNIVERSE };
    let body = route(network, [RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST], index);
    request(RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &body)
}

/// Makes every address of a network one of this machine, as `ip route add local
/// NETWORK dev lo` does: the kernel then delivers to sockets that listen there,
/// and refuses what nobody listens for. Done already: no change.
pub(crate) fn route_to_loopback(network: IpNet) -> io::Result<()> {
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    match request(RTM_NEWROUTE, flags, &local_route(network)) {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// The opposite of [`route_to_loopback`]. No such route: no change.
pub(crate) fn unroute_from_loopback(network: IpNet) -> io::Result<()> {
    match request(RTM_DELROUTE, NLM_F_REQUEST | NLM_F_ACK, &local_route(network)) {
        Err(why) if why.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
        done => done,
    }
}

fn local_route(network: IpNet) -> Vec<u8> {
    route(network, [RT_TABLE_LOCAL, RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL], LOOPBACK_INDEX)
}

/// struct ifinfomsg: family, padding, type, index, flags, change mask.
fn link_up(index: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(index.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body.extend(IFF_UP.to_ne_bytes());
    body
}

/// struct rtmsg and two attributes. `what`: table, protocol, scope, type.
fn route(network: IpNet, what: [u8; 4], index: u32) -> Vec<u8> {
    let (family, address) = family_and_octets(network.network());
    let [source_len, tos] = [0, 0];
    let mut body = vec![family, network.prefix_len(), source_len, tos];
    body.extend(what);
    body.extend(0u32.to_ne_bytes());
    attribute(&mut body, RTA_DST, &address);
    attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
    body
}

fn family_and_octets(address: IpAddr) -> (u8, Vec<u8>) {
    let (family, octets) = match address {
        IpAddr::V4(v4) => (AddressFamily::INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AddressFamily::INET6, v6.octets().to_vec()),
    };
    (u8::try_from(family.as_raw()).unwrap_or_default(), octets)
}

/// Length (itself included), type, value. Values here are whole words, so nothing is padded.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    body.extend(len.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
}

/// Sends one request and reads its acknowledgement, which the kernel has queued
/// by the time that sending returns (netlink(7)): nothing here waits.
fn request(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    // No protocol is protocol 0, NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let len = HEADER + body.len();
    let mut message = Vec::with_capacity(len);
    message.extend(u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(1u32.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend(body);
    sendto(&socket, &message, SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 1024];
    let (_, read) = recv(&socket, &mut answer, RecvFlags::DONTWAIT)?;
    acknowledged(answer.get(..read).unwrap_or_default())
}

/// struct nlmsghdr, then struct nlmsgerr, whose first field is 0 or an error number, negated.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "no acknowledgement of netlink");
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Err(malformed()),
    }
}

/// `lo` is the first interface of every network namespace (`LOOPBACK_IFINDEX`, include/net/flow.h).
const LOOPBACK_INDEX: u32 = 1;

/// sizeof(struct nlmsghdr).
const HEADER: usize = 16;

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

// linux/rtnetlink.h
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RT_TABLE_MAIN: u8 = 254;
const RT_TABLE_LOCAL: u8 = 255;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_HOST: u8 = 254;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;

// linux/if_link.h
const IFLA_MTU: u16 = 4;
const IFLA_TXQLEN: u16 = 13;

// linux/if_addr.h
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 0x02;

// linux/if.h
const IFF_UP: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_acknowledgement_an_error_or_malformed() {
        let answer = |kind: u16, code: i32| {
            [&[36, 0, 0, 0][..], &kind.to_ne_bytes(), &[0; 10], &code.to_ne_bytes(), &[0; 16]].concat()
        };
        assert!(acknowledged(&answer(NLMSG_ERROR, 0)).is_ok());
        let refused = acknowledged(&answer(NLMSG_ERROR, -1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        for bytes in [&answer(RTM_NEWROUTE, 0)[..], &answer(NLMSG_ERROR, 0)[..19], &[]] {
            assert_eq!(acknowledged(bytes).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_route_is_as_the_ip_program_writes_it() {
        // `strace ip route add local 198.18.0.0/15 dev lo`, little endian.
        #[cfg(target_endian = "little")]
        assert_eq!(
            local_route("198.18.0.0/15".parse().unwrap()),
            [
                2, 15, 0, 0, 255, 4, 254, 2, 0, 0, 0, 0, // rtmsg
                8, 0, 1, 0, 198, 18, 0, 0, // RTA_DST
                8, 0, 4, 0, 1, 0, 0, 0, // RTA_OIF
            ]
        );
    }

    #[test]
    fn a_route_to_a_device_is_in_the_main_table() {
        // Little endian, the device being the seventh.
        #[cfg(target_endian = "little")]
        assert_eq!(
            route(
                "10.0.0.0/8".parse().unwrap(),
                [RT_TABLE_MAIN, RTPROT_STATIC, RT_SCOPE_LINK, RTN_UNICAST],
                7
            ),
            [
                2, 8, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0, // rtmsg
                8, 0, 1, 0, 10, 0, 0, 0, // RTA_DST
                8, 0, 4, 0, 7, 0, 0, 0, // RTA_OIF
            ]
        );
    }
}
