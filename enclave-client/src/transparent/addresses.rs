use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU16,
};

use countersign_protocol::{
    Destination, Host,
    egress::{Action, EgressPolicy, Ports, Rule, Target},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The addresses that stand for names: the same number in both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPool {
    v4: Ipv4Net,
    v6: Ipv6Net,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `A` records.
    V4,
    /// `AAAA` records.
    V6,
}

impl Default for AddressPool {
    /// `198.18.0.0/15` was set aside for benchmarks of network devices (RFC 2544,
    /// RFC 6890): nothing on the internet has such an address, and unlike
    /// `240.0.0.0/4` every program takes it for an ordinary one.
    /// `fd5c:8b1e:46d0::/64` is a unique local prefix drawn at random (RFC 4193).
    fn default() -> Self {
        Self {
            v4: Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15),
            v6: Ipv6Net::new_assert(Ipv6Addr::new(0xfd5c, 0x8b1e, 0x46d0, 0, 0, 0, 0, 0), 64),
        }
    }
}

impl AddressPool {
    /// Numbers run from 1 to this one: the network and broadcast addresses stand for no name.
    pub fn last(&self) -> u32 {
        let v4 = u32::from(self.v4.broadcast()) - u32::from(self.v4.network());
        let v6 = 1u128 << (128 - self.v6.prefix_len()).min(32);
        v4.saturating_sub(1).min(u32::try_from(v6 - 1).unwrap_or(u32::MAX))
    }

    /// The address with a number.
    pub fn address(&self, number: u32, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::from(u32::from(self.v4.network()).wrapping_add(number)).into(),
            Family::V6 => {
                Ipv6Addr::from(u128::from(self.v6.network()).wrapping_add(u128::from(number))).into()
            }
        }
    }

    /// The number of an address of the pool.
    pub fn number(&self, address: IpAddr) -> Option<u32> {
        let number = match address {
            IpAddr::V4(v4) if self.v4.contains(&v4) => {
                u32::from(v4).checked_sub(u32::from(self.v4.network()))
            }
            IpAddr::V6(v6) if self.v6.contains(&v6) => {
                let offset = u128::from(v6).checked_sub(u128::from(self.v6.network()));
                offset.and_then(|offset| u32::try_from(offset).ok())
            }
            _ => None,
        };
        number.filter(|number| (1..=self.last()).contains(number))
    }

    /// Whether a network has an address in common with the pool.
    pub fn overlaps(&self, network: &IpNet) -> bool {
        self.networks().iter().any(|own| own.contains(network) || network.contains(own))
    }

    /// Rules that a policy must have where the pool is routed: an address that stands for a
    /// name is no destination, and a connection to one would come back here.
    pub fn denying_rules(&self) -> [Rule; 2] {
        self.networks().map(|network| Rule {
            action: Action::Deny,
            target: Target::Network(network),
            ports: Ports::Any,
            origin: "addresses that stand for names".into(),
        })
    }

    /// Whether a policy has them.
    pub(super) fn is_denied_by(&self, policy: &EgressPolicy) -> bool {
        let denied = |family, port| {
            let address = self.address(1, family);
            policy.judge_address(&Destination::new(Host::Address(address), port), address).is_err()
        };
        [Family::V4, Family::V6].into_iter().all(|family| denied(family, NonZeroU16::MIN))
    }

    /// Both networks.
    pub fn networks(&self) -> [IpNet; 2] {
        [self.v4.into(), self.v6.into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_name_each_other() {
        let pool = AddressPool::default();
        assert_eq!(pool.last(), 131_070);
        for (number, v4, v6) in [
            (1, "198.18.0.1", "fd5c:8b1e:46d0::1"),
            (256, "198.18.1.0", "fd5c:8b1e:46d0::100"),
            (131_070, "198.19.255.254", "fd5c:8b1e:46d0::1:fffe"),
        ] {
            for (family, text) in [(Family::V4, v4), (Family::V6, v6)] {
                let address: IpAddr = text.parse().unwrap();
                assert_eq!(pool.address(number, family), address);
                assert_eq!(pool.number(address), Some(number));
            }
        }
    }

    #[test]
    fn what_stands_for_no_name_has_no_number() {
        let pool = AddressPool::default();
        for text in [
            "198.18.0.0",
            "198.19.255.255",
            "198.20.0.1",
            "127.0.0.1",
            "fd5c:8b1e:46d0::",
            "fd5c:8b1e:46d0::2:0",
            "fd5c:8b1e:46d0:0:1::1",
            "fd5c:8b1e:46d0:1::1",
            "::1",
        ] {
            assert_eq!(pool.number(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn the_pool_is_no_destination_where_its_rules_hold() {
        let pool = AddressPool::default();
        let everything = |text: &str| Rule {
            action: Action::Allow,
            target: text.parse().unwrap(),
            ports: Ports::Any,
            origin: "here".into(),
        };
        let mut rules = vec![everything("0.0.0.0/0"), everything("::/0")];
        assert!(!pool.is_denied_by(&EgressPolicy::new(rules.clone()).unwrap()));
        rules.extend(pool.denying_rules());
        assert!(pool.is_denied_by(&EgressPolicy::new(rules).unwrap()));
    }

    #[test]
    fn a_network_that_holds_the_pool_or_part_of_it_overlaps() {
        let pool = AddressPool::default();
        for (text, overlaps) in [
            ("198.18.0.0/16", true),
            ("198.0.0.0/8", true),
            ("0.0.0.0/0", true),
            ("10.0.0.0/8", false),
            ("fd00::/8", true),
            ("fd5c:8b1e:46d1::/64", false),
        ] {
            assert_eq!(pool.overlaps(&text.parse().unwrap()), overlaps, "{text}");
        }
    }
}
