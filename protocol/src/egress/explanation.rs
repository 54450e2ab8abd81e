use std::fmt;

use ipnet::IpNet;

use super::{Action, Denial, EgressPolicy, NamePattern, Rule, Target, target::HOST};
use crate::{Destination, Host};

/// What is decided about a destination, and which rules would nearly have allowed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation<'p> {
    /// The rule that allows, or why nothing does.
    pub decision: Result<&'p Rule, Denial<'p>>,
    /// For a destination that no rule allows or denies: up to three that nearly allow it, the nearest first.
    pub near: Vec<Near<'p>>,
}

/// A rule that nearly allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near<'p> {
    /// The rule.
    pub rule: &'p Rule,
    /// Why it does not.
    pub but: But,
}

/// Why a rule that is near does not allow. The nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum But {
    /// It names other ports of that target.
    OtherPorts,
    /// Its network has ordinary addresses too, and so opens no special one.
    NotSpecial,
    /// Its last labels are those of the name, and the rest is not.
    OtherLabels,
}

impl EgressPolicy {
    /// Explains what [`judge`](Self::judge) decides. For people: it looks at every
    /// rule, so it is not for a path that somebody else can have walked at will.
    pub fn explain(&self, destination: &Destination) -> Explanation<'_> {
        let decision = self.judge(destination);
        let mut near: Vec<(But, usize, Near<'_>)> = Vec::new();
        if matches!(decision, Err(Denial::NoRule | Denial::Special { .. })) {
            let allows = self.rules().iter().filter(|rule| rule.action == Action::Allow);
            near.extend(allows.filter_map(|rule| {
                let (but, far) = almost(rule, destination)?;
                Some((but, far, Near { rule, but }))
            }));
            // Stable: of equally near ones the first written stays first.
            near.sort_by_key(|(but, far, _)| (*but, *far));
            near.truncate(MOST_NEAR);
        }
        Explanation { decision, near: near.into_iter().map(|(_, _, near)| near).collect() }
    }
}

/// Why the rule does not allow, and how far it is from that, if it is near at all.
fn almost(rule: &Rule, destination: &Destination) -> Option<(But, usize)> {
    let but_ports = |but| if rule.ports.contains(destination.port()) { but } else { But::OtherPorts };
    match (&rule.target, destination.host()) {
        (Target::Host, Host::Name(name)) if &**name == HOST => Some((But::OtherPorts, 0)),
        (Target::Name(pattern), Host::Name(name)) if &**name != HOST => {
            if pattern.matches(name) {
                return Some((But::OtherPorts, 0));
            }
            let shared = shared(pattern, name);
            (shared >= SUFFIX).then(|| (But::OtherLabels, usize::MAX - shared))
        }
        (Target::Network(network), Host::Address(address)) if network.contains(address) => {
            Some((but_ports(But::NotSpecial), prefix_left(network)))
        }
        _ => None,
    }
}

/// How many labels at the end are the same.
fn shared(pattern: &NamePattern, name: &str) -> usize {
    let labels = pattern.labels().iter().rev().zip(name.rsplit('.'));
    labels.take_while(|(label, name)| label.is(name)).count()
}

fn prefix_left(network: &IpNet) -> usize {
    usize::from(network.max_prefix_len() - network.prefix_len())
}

/// `allowed by …`, or why not and what is near.
impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            Ok(rule) => write!(f, "allowed by {rule}")?,
            Err(denial) => denial.fmt(f)?,
        }
        for (index, Near { rule, but }) in self.near.iter().enumerate() {
            let sign = if index == 0 { "; near: " } else { ", " };
            let but = match but {
                But::OtherPorts => "other ports",
                But::NotSpecial => "not only for special addresses",
                But::OtherLabels => "other labels",
            };
            write!(f, "{sign}{rule} ({but})")?;
        }
        Ok(())
    }
}

/// More would hide the one that is meant.
const MOST_NEAR: usize = 3;

/// Labels at the end that make a rule near: a domain, not only `com`.
const SUFFIX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_that_decides_and_those_that_nearly_do() {
        let rules = [
            (Action::Allow, "example.com:443"),
            (Action::Allow, "*.example.com"),
            (Action::Allow, "**.corp.example.com"),
            (Action::Allow, "example.org"),
            (Action::Deny, "evil.example.com"),
            (Action::Allow, "10.0.0.0/8:5432"),
            (Action::Allow, "10.1.0.0/16:5433"),
            (Action::Allow, "0.0.0.0/0:80"),
            (Action::Allow, "host:8080"),
        ];
        let rule = |(at, (action, entry)): (usize, (Action, &str))| {
            Rule::new(action, entry.parse().unwrap(), format!("rule {at}"))
        };
        let policy = EgressPolicy::new(rules.into_iter().enumerate().map(rule).collect()).unwrap();
        for (destination, explanation) in [
            ("example.com:443", "allowed by rule 0: allow example.com:443"),
            ("evil.example.com:443", "denied by rule 4: deny evil.example.com"),
            (
                "example.com:80",
                "no rule allows it; near: rule 0: allow example.com:443 (other ports), \
                 rule 1: allow *.example.com (other labels), rule 2: allow **.corp.example.com (other labels)",
            ),
            ("corp.example.com.:80", "allowed by rule 1: allow *.example.com"),
            (
                "a.b.example.com:80",
                "no rule allows it; near: rule 0: allow example.com:443 (other labels), \
                 rule 1: allow *.example.com (other labels), rule 2: allow **.corp.example.com (other labels)",
            ),
            ("example.net:443", "no rule allows it"),
            (
                "10.1.2.3:443",
                "no rule allows it; near: rule 6: allow 10.1.0.0/16:5433 (other ports), \
                 rule 5: allow 10.0.0.0/8:5432 (other ports), rule 7: allow 0.0.0.0/0:80 (other ports)",
            ),
            (
                "169.254.169.254:80",
                "169.254.169.254 is a link-local address, which only a rule for that very address or network \
                 allows; near: rule 7: allow 0.0.0.0/0:80 (not only for special addresses)",
            ),
            ("host:80", "no rule allows it; near: rule 8: allow host:8080 (other ports)"),
        ] {
            assert_eq!(
                policy.explain(&destination.parse().unwrap()).to_string(),
                explanation,
                "{destination}"
            );
        }
    }
}
