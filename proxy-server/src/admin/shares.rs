use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use countersign_protocol::unmap;

/// How many connections each address has, so that none can have all of them.
#[derive(Debug)]
pub(super) struct Shares {
    most: u32,
    held: Mutex<HashMap<IpAddr, u32>>,
}

/// One connection's part of its address's share, until it is dropped.
#[derive(Debug)]
pub(super) struct Part {
    shares: Arc<Shares>,
    of: IpAddr,
}

impl Shares {
    /// At most half of `all` for each address, so that it takes two to have all.
    pub(super) fn new(all: u32) -> Arc<Self> {
        Arc::new(Self { most: all.div_ceil(2), held: Mutex::default() })
    }

    /// One more connection; `None` when the address has its share.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Part> {
        let of = site(address);
        let mut held = self.held();
        let number = held.entry(of).or_default();
        if *number >= self.most {
            return None;
        }
        *number += 1;
        drop(held);
        Some(Part { shares: Arc::clone(self), of })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        if let Some(number) = held.get_mut(&self.of) {
            *number -= 1;
            if *number == 0 {
                held.remove(&self.of);
            }
        }
    }
}

/// Whoever has an address of IPv6 has the 2^64 beside it (RFC 4291 section 2.5.4).
fn site(address: IpAddr) -> IpAddr {
    match unmap(address) {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_has_more_than_half() {
        let shares = Shares::new(4);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let take = |text: &str| shares.take(address(text));
        let first = take("192.0.2.1").unwrap();
        let _second = take("::ffff:192.0.2.1").unwrap();
        assert!(take("192.0.2.1").is_none());
        let _other = take("192.0.2.2").unwrap();
        drop(first);
        let _third = take("192.0.2.1").unwrap();
        let six = [take("2001:db8::1").unwrap(), take("2001:db8::ffff:1").unwrap()];
        assert!(take("2001:db8::2").is_none(), "one site");
        assert!(take("2001:db8:0:1::2").is_some());
        drop(six);
        assert_eq!(shares.held().len(), 2, "who has none is forgotten");
    }

    #[test]
    fn where_there_is_one_place_anybody_may_have_it() {
        assert!(Shares::new(1).take(IpAddr::from([192, 0, 2, 1])).is_some());
    }
}
