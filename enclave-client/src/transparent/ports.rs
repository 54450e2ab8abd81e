use std::{collections::BTreeSet, fmt, num::NonZeroU16};

use countersign_protocol::{
    Destination, Host,
    egress::{Action, Denial, EgressPolicy, Ports, Rule},
};

/// The ports at which every name in use is listened for.
///
/// A kernel without netfilter delivers a connection to a socket of that very
/// port or refuses it, so the ports must be known beforehand: those that the
/// rules name, and where a rule names none, the web's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortList {
    ports: Box<[NonZeroU16]>,
    left_out: Box<[Box<str>]>,
}

impl PortList {
    /// The ports of the allow rules, and `more`. A rule whose range is wider than
    /// 32 ports, or whose ports no longer fit into 64, is left out
    /// and told of by [`PortList::left_out`].
    pub fn new(rules: &[Rule], more: &[NonZeroU16]) -> Self {
        let mut ports: BTreeSet<NonZeroU16> = more.iter().copied().take(MAX_PORTS).collect();
        let mut left_out = Vec::new();
        for rule in rules.iter().filter(|rule| rule.action == Action::Allow) {
            let named: BTreeSet<_> = match &rule.ports {
                Ports::Any => WEB.into_iter().filter_map(NonZeroU16::new).collect(),
                Ports::Range(range) => {
                    range.clone().take(MAX_RANGE + 1).filter_map(NonZeroU16::new).collect()
                }
            };
            if named.len() > MAX_RANGE || ports.union(&named).count() > MAX_PORTS {
                left_out.push(rule.to_string().into_boxed_str());
            } else {
                ports.extend(named);
            }
        }
        Self { ports: ports.into_iter().collect(), left_out: left_out.into() }
    }

    /// In rising order.
    pub fn ports(&self) -> &[NonZeroU16] {
        &self.ports
    }

    /// The rules whose ports are too many to be listened at.
    pub fn left_out(&self) -> &[Box<str>] {
        &self.left_out
    }

    /// The ports at which the policy lets a host pass, each with its destination.
    ///
    /// # Errors
    /// Why the policy lets it pass at none of them.
    pub(super) fn open_for(&self, host: &Host, policy: &EgressPolicy) -> Result<Vec<Destination>, String> {
        let mut open = Vec::new();
        let mut why: Option<Denial<'_>> = None;
        for port in &self.ports {
            let destination = Destination::new(host.clone(), *port);
            match policy.judge(&destination) {
                Ok(_) => open.push(destination),
                // A deny rule says more than that no rule allows some other port.
                Err(denial) if why.is_none() || matches!(denial, Denial::Rule(_)) => why = Some(denial),
                Err(_) => {}
            }
        }
        if open.is_empty() {
            Err(why.map_or(NO_PORTS.to_owned(), |denial| denial.to_string()))
        } else {
            Ok(open)
        }
    }
}

/// `80, 443, 5432`
impl fmt::Display for PortList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, port) in self.ports.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{port}")?;
        }
        Ok(())
    }
}

/// The ports of one rule: each name in use costs a socket for each of them.
pub(super) const MAX_RANGE: usize = 32;

/// The ports of all rules together.
pub(super) const MAX_PORTS: usize = 64;

/// What a rule without ports means here: HTTP and HTTPS.
const WEB: [u16; 2] = [80, 443];

const NO_PORTS: &str = "no rule allows any port";

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(action: Action, target: &str, ports: Ports) -> Rule {
        Rule { action, target: target.parse().unwrap(), ports, origin: "here".into() }
    }

    fn numbers(list: &PortList) -> Vec<u16> {
        list.ports().iter().map(|port| port.get()).collect()
    }

    #[test]
    fn the_ports_of_allow_rules_and_no_others() {
        let rules = [
            rule(Action::Allow, "db.example", Ports::Range(5432..=5432)),
            rule(Action::Allow, "*.example", Ports::Any),
            rule(Action::Deny, "evil.example", Ports::Range(25..=25)),
            rule(Action::Allow, "cache.example", Ports::Range(6379..=6381)),
        ];
        let list = PortList::new(&rules, &[NonZeroU16::new(22).unwrap()]);
        assert_eq!(numbers(&list), [22, 80, 443, 5432, 6379, 6380, 6381]);
        assert_eq!(list.to_string(), "22, 80, 443, 5432, 6379, 6380, 6381");
        assert_eq!(list.left_out().len(), 0);
    }

    #[test]
    fn a_range_too_wide_is_left_out_whole_and_told() {
        let rules = [
            rule(Action::Allow, "wide.example", Ports::Range(1..=u16::MAX)),
            rule(Action::Allow, "just.example", Ports::Range(1000..=1031)),
            rule(Action::Allow, "over.example", Ports::Range(2000..=2032)),
            rule(Action::Allow, "also.example", Ports::Range(3000..=3031)),
            rule(Action::Allow, "full.example", Ports::Range(9..=9)),
        ];
        let list = PortList::new(&rules, &[]);
        assert_eq!(list.ports().len(), MAX_PORTS);
        assert_eq!(
            list.left_out(),
            [
                "here: allow wide.example:1-65535".into(),
                "here: allow over.example:2000-2032".into(),
                "here: allow full.example:9".into(),
            ] as [Box<str>; 3]
        );
        assert_eq!(numbers(&PortList::new(&[], &[])), [0u16; 0], "no rule, no port");
    }

    #[test]
    fn a_name_has_the_ports_that_the_policy_lets_pass() {
        let rules = vec![
            rule(Action::Allow, "db.example", Ports::Range(5432..=5432)),
            rule(Action::Allow, "*.example", Ports::Any),
            rule(Action::Deny, "evil.example", Ports::Any),
        ];
        let list = PortList::new(&rules, &[]);
        let policy = EgressPolicy::new(rules).unwrap();
        let open = |name: &str| {
            let open = list.open_for(&name.parse().unwrap(), &policy)?;
            Ok(open.iter().map(Destination::port).collect::<Vec<_>>())
        };
        assert_eq!(open("db.example"), Ok(vec![80, 443, 5432]));
        assert_eq!(open("evil.example"), Err("denied by here: deny evil.example".to_owned()));
        assert_eq!(open("other.test"), Err("no rule allows it".to_owned()));
        let nothing = PortList::new(&[], &[]).open_for(&"a.example".parse().unwrap(), &policy);
        assert_eq!(nothing, Err(NO_PORTS.to_owned()));
    }
}
