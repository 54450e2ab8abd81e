//! `lo` up, by one netlink message (rtnetlink(7)).
//!
//! An enclave's kernel has no other interface and starts this one down; without
//! it 127.0.0.1 cannot be reached. The kernel adds both addresses by itself.

use std::{
    io::{self, Read},
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::Step;

/// Brings `lo` up if it is down.
pub(super) fn bring_up() -> io::Result<Step> {
    if is_reachable() {
        return Ok(Step::NotNeeded);
    }
    let socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_ROUTE)))?;
    socket.set_read_timeout(Some(ANSWER_DEADLINE))?;
    socket.send(&interface_up(LOOPBACK_INDEX))?;
    let mut answer = [0; 4096];
    let len = (&socket).read(&mut answer)?;
    acknowledged(&answer[..len])?;
    Ok(Step::Done("lo is up".to_owned()))
}

/// The question that matters, asked without any privilege: is there a way to 127.0.0.1?
/// Connecting UDP looks for one and sends nothing; binding would succeed either way.
fn is_reachable() -> bool {
    let reached = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect((Ipv4Addr::LOCALHOST, 9)));
    reached.is_ok()
}

/// `nlmsghdr` and `ifinfomsg`, which the kernel reads in its own byte order (netlink(7), rtnetlink(7)).
fn interface_up(index: i32) -> [u8; MESSAGE_LEN] {
    let mut message = [0; MESSAGE_LEN];
    let mut put = |at: usize, bytes: &[u8]| message[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(MESSAGE_LEN as u32).to_ne_bytes());
    put(4, &RTM_NEWLINK.to_ne_bytes());
    put(6, &(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    put(20, &index.to_ne_bytes());
    put(24, &IFF_UP.to_ne_bytes());
    put(28, &IFF_UP.to_ne_bytes());
    message
}

/// An answer is `nlmsghdr` and `nlmsgerr`, whose first field is a negative errno, or 0 for "done".
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let short =
        || io::Error::new(io::ErrorKind::InvalidData, "netlink answered something else than an error code");
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let code = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Err(short()),
    }
}

const AF_NETLINK: i32 = 16;
const NETLINK_ROUTE: i32 = 0;
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const IFF_UP: u32 = 1;
const MESSAGE_LEN: usize = 32;

/// The same in every network namespace (Linux `include/net/flow.h`, `LOOPBACK_IFINDEX`).
const LOOPBACK_INDEX: i32 = 1;

const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_code_or_it_is_wrong() {
        let answer = |kind: u16, code: i32| {
            let mut bytes = [0; 36];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[16..20].copy_from_slice(&code.to_ne_bytes());
            acknowledged(&bytes).map_err(|why| why.raw_os_error())
        };
        assert_eq!(answer(NLMSG_ERROR, 0), Ok(()));
        assert_eq!(answer(NLMSG_ERROR, -1), Err(Some(1)));
        assert_eq!(answer(NLMSG_ERROR, i32::MIN), Err(Some(i32::MAX)));
        assert_eq!(answer(RTM_NEWLINK, 0), Err(None));
        assert!(acknowledged(&[]).is_err());
    }

    #[test]
    fn where_loopback_works_nothing_is_asked() {
        assert_eq!(bring_up().unwrap(), Step::NotNeeded);
    }
}
