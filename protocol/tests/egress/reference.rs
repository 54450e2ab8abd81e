//! The policy in its plainest form: every rule is looked at, every label is tried. What it shares with
//! the real one is the reading of addresses and of destinations.

use std::net::IpAddr;

use countersign_protocol::{AddressClass, Destination, Host, classify, egress::EgressPolicy, unmap};

/// A rule, in pieces that need no parser.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Or it allows.
    pub(crate) denies: bool,
    /// Whom.
    pub(crate) whom: Whom,
    /// From the first to the last port.
    pub(crate) ports: (u16, u16),
}

/// Whom a rule names.
#[derive(Clone, Debug)]
pub(crate) enum Whom {
    /// The word.
    Host,
    /// Labels from left to right, with `*` and `**`.
    Names(Vec<String>),
    /// An address without host bits, and how many of its bits count.
    Network(IpAddr, u8),
}

/// What is decided: rules by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// By this rule, or by none where none is needed.
    Allowed(Option<usize>),
    /// By this rule.
    Denied(usize),
    /// Nothing allows it.
    NoRule,
    /// Nothing allows it, and it is special.
    Special,
    /// Not where the destination leads.
    Elsewhere,
}

impl Line {
    /// As it stands in a list.
    pub(crate) fn entry(&self) -> String {
        let (target, bracketed) = match &self.whom {
            Whom::Host => ("host".to_owned(), false),
            Whom::Names(labels) => (labels.join("."), false),
            Whom::Network(address, prefix) => (format!("{address}/{prefix}"), address.is_ipv6()),
        };
        match self.ports {
            (1, 65535) => target,
            (first, last) if bracketed => format!("[{target}]:{first}-{last}"),
            (first, last) => format!("{target}:{first}-{last}"),
        }
    }

    fn is_at(&self, port: u16) -> bool {
        (self.ports.0..=self.ports.1).contains(&port)
    }

    fn names(&self, name: &str) -> bool {
        match &self.whom {
            Whom::Host => name == "host",
            Whom::Names(pattern) => {
                let labels: Vec<&str> = name.split('.').collect();
                name != "host" && matches(pattern, &labels)
            }
            Whom::Network(..) => false,
        }
    }

    fn holds(&self, address: IpAddr) -> bool {
        match self.whom {
            Whom::Network(network, prefix) => contains(network, prefix, address),
            Whom::Host | Whom::Names(_) => false,
        }
    }

    /// Whether it may open an address of this class: a look at many addresses of the network.
    fn opens(&self, class: AddressClass) -> bool {
        let Whom::Network(network, prefix) = self.whom else { return false };
        match class {
            AddressClass::Ordinary => true,
            AddressClass::NotUnicast => false,
            _ => samples(network, prefix).into_iter().all(|address| classify(address) == class),
        }
    }
}

/// What the policy must say to [`EgressPolicy::judge`].
pub(crate) fn judge(lines: &[Line], destination: &Destination) -> Verdict {
    let port = destination.port();
    match destination.host() {
        Host::Name(name) => {
            let hit = |denies: bool| {
                lines.iter().position(|line| line.denies == denies && line.is_at(port) && line.names(name))
            };
            match (hit(true), hit(false)) {
                (Some(rule), _) => Verdict::Denied(rule),
                (None, Some(rule)) => Verdict::Allowed(Some(rule)),
                (None, None) => Verdict::NoRule,
            }
        }
        Host::Address(address) => {
            let class = classify(*address);
            match (denied(lines, *address, port), allowed(lines, *address, port)) {
                (Some(rule), _) => Verdict::Denied(rule),
                (None, Some(rule)) => Verdict::Allowed(Some(rule)),
                (None, None) if class == AddressClass::Ordinary => Verdict::NoRule,
                (None, None) => Verdict::Special,
            }
        }
    }
}

/// What the policy must say to [`EgressPolicy::judge_address`].
pub(crate) fn judge_address(lines: &[Line], destination: &Destination, address: IpAddr) -> Verdict {
    let class = classify(address);
    match destination.host() {
        Host::Name(name) if &**name == "host" && class == AddressClass::Loopback => {
            return Verdict::Allowed(None);
        }
        Host::Name(name) if &**name == "host" => return Verdict::Elsewhere,
        Host::Address(asked) if *asked != unmap(address) => return Verdict::Elsewhere,
        _ => {}
    }
    let port = destination.port();
    match denied(lines, address, port) {
        Some(rule) => Verdict::Denied(rule),
        None if class == AddressClass::Ordinary || allowed(lines, address, port).is_some() => {
            Verdict::Allowed(None)
        }
        None => Verdict::Special,
    }
}

/// Panics unless the policy says the same. Rules must have their place as their origin.
pub(crate) fn compare(policy: &EgressPolicy, lines: &[Line], destination: &Destination, address: IpAddr) {
    use countersign_protocol::egress::{Denial, Rule};
    let place = |rule: &Rule| rule.origin.parse::<usize>().expect("a place");
    let verdict = |denial: Denial<'_>| match denial {
        Denial::Rule(rule) => Verdict::Denied(place(rule)),
        Denial::NoRule => Verdict::NoRule,
        Denial::Special { .. } => Verdict::Special,
        Denial::Elsewhere { .. } => Verdict::Elsewhere,
    };
    let told = || {
        lines
            .iter()
            .map(|line| format!("{} {}", if line.denies { "deny" } else { "allow" }, line.entry()))
            .collect::<Vec<_>>()
    };
    let found = policy.judge(destination).map_or_else(verdict, |rule| Verdict::Allowed(Some(place(rule))));
    assert_eq!(found, judge(lines, destination), "{destination} by {:#?}", told());
    let found = policy.judge_address(destination, address).map_or_else(verdict, |()| Verdict::Allowed(None));
    assert_eq!(
        found,
        judge_address(lines, destination, address),
        "{destination} at {address} by {:#?}",
        told()
    );
}

fn denied(lines: &[Line], address: IpAddr, port: u16) -> Option<usize> {
    let inside = carried(address);
    lines.iter().position(|line| {
        line.denies
            && line.is_at(port)
            && (line.holds(unmap(address)) || inside.is_some_and(|inside| line.holds(inside)))
    })
}

fn allowed(lines: &[Line], address: IpAddr, port: u16) -> Option<usize> {
    let class = classify(address);
    lines
        .iter()
        .position(|line| !line.denies && line.is_at(port) && line.holds(unmap(address)) && line.opens(class))
}

fn matches(pattern: &[String], labels: &[&str]) -> bool {
    match (pattern.split_first(), labels.split_first()) {
        (None, None) => true,
        (Some((label, rest)), Some((_, more))) if label == "**" => {
            matches(rest, more) || matches(pattern, more)
        }
        (Some((label, rest)), Some((first, more))) => (label == "*" || label == first) && matches(rest, more),
        _ => false,
    }
}

fn contains(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    let same = |one: &[u8], other: &[u8]| {
        one.len() == other.len()
            && (0..usize::from(prefix)).all(|bit| {
                let of = |bytes: &[u8]| bytes[bit / 8] >> (7 - bit % 8) & 1;
                of(one) == of(other)
            })
    };
    same(&bytes(network), &bytes(address))
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The first, the last and some between.
fn samples(network: IpAddr, prefix: u8) -> Vec<IpAddr> {
    let first = bytes(network);
    (0..=255_u8)
        .map(|fill| {
            let mut bytes = first.clone();
            for bit in usize::from(prefix)..8 * bytes.len() {
                // All zeros, all ones, and every pattern of eight bits repeated.
                bytes[bit / 8] |= fill & 1 << (7 - bit % 8);
            }
            match <[u8; 4]>::try_from(&*bytes) {
                Ok(v4) => v4.into(),
                Err(_) => <[u8; 16]>::try_from(&*bytes).expect("sixteen bytes").into(),
            }
        })
        .collect()
}

/// The IPv4 address inside an IPv6 one, by where its bytes stand.
fn carried(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = unmap(address) else { return None };
    let b = v6.octets();
    let at = |from: usize| Some(IpAddr::from([b[from], b[from + 1], b[from + 2], b[from + 3]]));
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => at(12),
        [0x2002, ..] => at(2),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => at(12),
        _ => None,
    }
}
