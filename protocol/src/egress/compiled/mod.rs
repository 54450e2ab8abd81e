//! The rules in the form that is asked: what a decision costs does not depend on how many there are.
//!
//! ```text
//!   name ────► Names: a tree of labels from the right ─┐
//!   address ─► Networks: ranges, each knows its parent ├─► slots: ByPort ─► Found { deny, allow }
//!   `host` ────────────────────────────────────────────┘
//! ```
//!
//! A slot holds the rules of one target. Every slot that matches gives the first
//! rule that denies and the first that allows; the first of all counts.

mod by_port;
mod names;
mod networks;
mod tree;

use std::net::IpAddr;

use ipnet::IpNet;

use self::{
    by_port::{ByPort, Slots},
    names::Names,
    networks::{Builder, Networks},
};
use super::{PolicyError, Rule, Target, target::canonical};
use crate::{AddressClass, address::embedded, classify, unmap};

/// What rules say of one place: the first that denies, the first that allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) deny: Option<RuleId>,
    pub(super) allow: Option<RuleId>,
}

/// Where a rule stands among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RuleId(pub(super) u32);

/// See the head of the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Compiled {
    slots: Box<[ByPort]>,
    host: Option<SlotId>,
    names: Names,
    v4: Networks<u32>,
    v6: Networks<u128>,
}

/// Where the rules of one target are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct SlotId(u32);

impl Compiled {
    /// Compiles rules.
    ///
    /// # Errors
    /// One decision could cost too much.
    pub(super) fn new(rules: &[Rule]) -> Result<Self, PolicyError> {
        let mut slots = Slots::default();
        let mut host = None;
        let mut names = Names::default();
        let (mut v4, mut v6) = (Builder::default(), Builder::default());
        for (id, rule) in (0..).map(RuleId).zip(rules) {
            let slot = match &rule.target {
                Target::Host => &mut host,
                Target::Name(pattern) => names.slot(pattern)?,
                Target::Network(network) => match canonical(*network) {
                    IpNet::V4(v4_network) => v4.slot(v4_network),
                    IpNet::V6(v6_network) => v6.slot(v6_network),
                },
            };
            slots.add(slot, id);
        }
        names.check()?;
        Ok(Self { slots: slots.finish(rules), host, names, v4: v4.finish(), v6: v6.finish() })
    }

    /// What is said of the word `host`.
    pub(super) fn host(&self, port: u16) -> Found {
        let mut found = Found::default();
        self.add(self.host, port, &mut found);
        found
    }

    /// What is said of a normalised name other than `host`, and in how many steps that was found.
    pub(super) fn name(&self, name: &str, port: u16) -> (Found, u32) {
        let mut found = Found::default();
        let steps = self.names.find(name, &mut |slot| self.add(Some(slot), port, &mut found));
        (found, steps)
    }

    /// What is said of an address.
    ///
    /// A rule that denies an IPv4 address holds for each IPv6 address that carries
    /// it. `0.0.0.0/0` does not mean the metadata service: a special address is
    /// allowed only by a network that is special throughout, and one that is no
    /// unicast destination by none. (To connect to `0.0.0.0` is to connect to
    /// oneself on Linux.)
    pub(super) fn address(&self, address: IpAddr, port: u16) -> Found {
        let class = classify(address);
        let mut found = Found::default();
        let mut add = |slot: SlotId, special: Option<AddressClass>| {
            let mut of_slot = Found::default();
            self.add(Some(slot), port, &mut of_slot);
            if class != AddressClass::Ordinary && special != Some(class) {
                of_slot.allow = None;
            }
            found.merge(of_slot);
        };
        match unmap(address) {
            IpAddr::V4(v4) => self.v4.find(v4.to_bits(), add),
            IpAddr::V6(v6) => {
                self.v6.find(v6.to_bits(), &mut add);
                if let IpAddr::V4(v4) = embedded(address) {
                    self.v4.find(v4.to_bits(), |slot, _| {
                        found.merge(Found { allow: None, ..self.of(slot, port) })
                    });
                }
            }
        }
        found
    }

    /// The most steps that any name can cost.
    pub(super) fn most_steps(&self) -> u32 {
        self.names.most_steps()
    }

    fn add(&self, slot: Option<SlotId>, port: u16, found: &mut Found) {
        if let Some(slot) = slot {
            found.merge(self.of(slot, port));
        }
    }

    fn of(&self, slot: SlotId, port: u16) -> Found {
        self.slots.get(slot.0 as usize).map(|rules| rules.at(port)).unwrap_or_default()
    }
}

impl Found {
    fn merge(&mut self, other: Self) {
        self.deny = first(self.deny, other.deny);
        self.allow = first(self.allow, other.allow);
    }
}

fn first(one: Option<RuleId>, other: Option<RuleId>) -> Option<RuleId> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The class of every address in a network, if it is one that a rule can open and the same for all.
///
/// Its first and last address tell: each special range is an aligned block, and
/// so are the blocks of IPv6 that carry it.
fn special_throughout(network: IpNet) -> Option<AddressClass> {
    let class = classify(network.network());
    let opened = !matches!(class, AddressClass::Ordinary | AddressClass::NotUnicast);
    (opened && classify(network.broadcast()) == class).then_some(class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::{Action, Rule};

    /// Rules that branch wherever they can, and the names that take every branch.
    #[test]
    fn no_name_costs_more_steps_than_were_counted() {
        let mut rules = Vec::new();
        for bits in 0..3_u32.pow(5) {
            let label = |at: u32| ["a", "*", "**"][(bits / 3_u32.pow(at) % 3) as usize];
            let entry = (0..5).map(label).collect::<Vec<_>>().join(".");
            rules.push(Rule::new(Action::Allow, entry.parse().unwrap(), entry));
        }
        let compiled = Compiled::new(&rules).unwrap();
        let mut most = 0;
        for labels in 1..=120 {
            let name = vec!["a"; labels].join(".");
            let (found, steps) = compiled.name(&name, 443);
            assert_eq!(found.allow.is_some(), labels >= 5, "{labels}");
            most = most.max(steps);
        }
        assert!(most > 500 && most <= compiled.most_steps(), "{most} of {}", compiled.most_steps());
    }

    #[test]
    fn the_ends_of_a_network_tell_what_all_of_it_is() {
        for (network, special) in [
            ("127.0.0.0/8", Some(AddressClass::Loopback)),
            ("127.0.0.1/32", Some(AddressClass::Loopback)),
            ("126.0.0.0/7", None),
            ("0.0.0.0/0", None),
            ("::/0", None),
            ("224.0.0.0/4", None),
            ("169.254.0.0/16", Some(AddressClass::LinkLocal)),
            ("fe80::/10", Some(AddressClass::LinkLocal)),
            ("fd00:ec2::/32", Some(AddressClass::Metadata)),
            ("64:ff9b:1::/48", None),
            ("2002:7f00::/24", Some(AddressClass::Loopback)),
        ] {
            assert_eq!(special_throughout(network.parse().unwrap()), special, "{network}");
        }
    }
}
