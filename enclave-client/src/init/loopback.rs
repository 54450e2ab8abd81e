//! `lo` up.
//!
//! An enclave's kernel has no other interface and starts this one down; without
//! it 127.0.0.1 cannot be reached. The kernel adds both addresses by itself.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
};

use super::Step;
use crate::netlink;

/// Brings `lo` up if it is down.
pub(super) fn bring_up() -> io::Result<Step> {
    if is_reachable() {
        return Ok(Step::NotNeeded);
    }
    netlink::loopback_up()?;
    Ok(Step::Done("lo is up".to_owned()))
}

/// The question that matters, asked without any privilege: is there a way to 127.0.0.1?
/// Connecting UDP looks for one and sends nothing; binding would succeed either way.
fn is_reachable() -> bool {
    let reached = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect((Ipv4Addr::LOCALHOST, 9)));
    reached.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_loopback_works_nothing_is_asked() {
        assert_eq!(bring_up().unwrap(), Step::NotNeeded);
    }
}
