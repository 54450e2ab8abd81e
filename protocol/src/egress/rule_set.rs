use std::{fmt, str::FromStr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Action, Entry, NamePattern, Ports, Rule, Target, TargetError};

/// One line of `spec.targets` in an `EgressRuleSet`.
///
/// | line | means |
/// |---|---|
/// | `example.com:443` | that name, that port |
/// | `*.example.org:80` | every name below it, at any depth, and not `example.org` itself |
/// | `*:80` | every name and every ordinary address; neither `host` nor a special address |
/// | `10.0.0.7:5432`, `10.0.0.0/8:5432`, `[2001:db8::1]:443` | addresses |
/// | `host:8080` | the parent machine's loopback |
///
/// A set only allows, and the policy of several sets is the union of their rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RuleSetTarget {
    whom: Whom,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whom {
    Everyone,
    Below(NamePattern),
    One(Target),
}

impl RuleSetTarget {
    /// The rules that say the same: three for `*`, which are names, IPv4 and IPv6; else one.
    pub fn rules(&self, origin: &str) -> Vec<Rule> {
        let targets = match &self.whom {
            Whom::Everyone => vec![
                Target::Name(NamePattern::every_name()),
                Target::Network(IpNet::V4(Ipv4Net::default())),
                Target::Network(IpNet::V6(Ipv6Net::default())),
            ],
            Whom::Below(pattern) => vec![Target::Name(pattern.clone())],
            Whom::One(target) => vec![target.clone()],
        };
        let ports = Ports::from(self.port);
        let rule = |target| Rule::new(Action::Allow, Entry { target, ports: ports.clone() }, origin);
        targets.into_iter().map(rule).collect()
    }
}

impl FromStr for RuleSetTarget {
    type Err = RuleSetTargetError;

    fn from_str(text: &str) -> Result<Self, RuleSetTargetError> {
        if text.ends_with(":*") {
            return Err(RuleSetTargetError::WildcardPort);
        }
        if let Some(port) = text.strip_prefix("*:") {
            return Ok(Self { whom: Whom::Everyone, port: single(&port.parse()?)? });
        }
        let (below, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        if rest.contains('*') {
            return Err(RuleSetTargetError::Wildcard);
        }
        let Entry { target, ports } = rest.parse()?;
        let port = single(&ports)?;
        let whom = match target {
            target if !below => Whom::One(target),
            Target::Name(name) => Whom::Below(name.below()?),
            Target::Host => Whom::Below("**.host".parse()?),
            Target::Network(_) => return Err(TargetError::NumericPattern.into()),
        };
        Ok(Self { whom, port })
    }
}

/// Back to a line that parses to the same.
impl fmt::Display for RuleSetTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.whom {
            Whom::Everyone => write!(f, "*:{}", self.port),
            // `**.` to us is `*.` there.
            Whom::Below(pattern) => write!(f, "{}:{}", pattern.to_string().replacen("**", "*", 1), self.port),
            Whom::One(target) => super::entry::write(target, &Ports::from(self.port), f),
        }
    }
}

/// Why a line is no target of a rule set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSetTargetError {
    /// No port.
    NoPort,
    /// `*` as the port.
    WildcardPort,
    /// More than one port.
    PortRange {
        /// The first of them.
        first: u16,
        /// The last of them.
        last: u16,
    },
    /// A `*` elsewhere than alone or as the first label.
    Wildcard,
    /// No target at all.
    Target(TargetError),
}

impl From<TargetError> for RuleSetTargetError {
    fn from(why: TargetError) -> Self {
        Self::Target(why)
    }
}

impl fmt::Display for RuleSetTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPort => f.write_str("lacks its port (write host:port; a rule set names each port)"),
            Self::WildcardPort => f.write_str(
                "has a wildcard for its port: a rule set opens single ports, so that it shows what a cluster \
                 talks; write one line for each port",
            ),
            Self::PortRange { first, last } => {
                write!(f, "has the ports {first} to {last}; write one line for each port")
            }
            Self::Wildcard => f.write_str(
                "has a wildcard elsewhere than alone (*:80) or as its first label (*.example.org:80)",
            ),
            Self::Target(_) => f.write_str("is no target of a rule set"),
        }
    }
}

impl std::error::Error for RuleSetTargetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Target(why) => Some(why),
            _ => None,
        }
    }
}

fn single(ports: &Ports) -> Result<u16, RuleSetTargetError> {
    match ports {
        Ports::Any => Err(RuleSetTargetError::NoPort),
        Ports::Range(range) if range.start() == range.end() => Ok(*range.start()),
        Ports::Range(range) => {
            Err(RuleSetTargetError::PortRange { first: *range.start(), last: *range.end() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Destination,
        egress::{Denial, EgressPolicy},
    };

    #[test]
    fn lines_become_rules() {
        for (line, rules) in [
            ("mydependency1.example.com:443", &["set: allow mydependency1.example.com:443"][..]),
            ("*.example.org:80", &["set: allow **.example.org:80"]),
            ("*.Bücher.example.:80", &["set: allow **.xn--bcher-kva.example:80"]),
            ("*:80", &["set: allow **:80", "set: allow 0.0.0.0/0:80", "set: allow [::/0]:80"]),
            ("10.0.0.7:5432", &["set: allow 10.0.0.7:5432"]),
            ("10.0.0.0/8:5432", &["set: allow 10.0.0.0/8:5432"]),
            ("[2001:db8::1]:443", &["set: allow [2001:db8::1]:443"]),
            ("host:8080", &["set: allow host:8080"]),
        ] {
            let target: RuleSetTarget = line.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
            let texts: Vec<String> = target.rules("set").iter().map(Rule::to_string).collect();
            assert_eq!(texts, rules, "{line}");
            assert_eq!(target.to_string().parse(), Ok(target), "{line} is not stable");
        }
    }

    #[test]
    fn lines_that_open_more_than_they_name_are_refused() {
        use RuleSetTargetError::*;
        for (line, error) in [
            ("example.com", NoPort),
            ("2001:db8::1", NoPort),
            ("*", Wildcard),
            ("example.com:*", WildcardPort),
            ("*:*", WildcardPort),
            ("[2001:db8::1]:*", WildcardPort),
            ("example.com:80-443", PortRange { first: 80, last: 443 }),
            ("*:1-65535", PortRange { first: 1, last: 65535 }),
            ("kms.*.amazonaws.com:443", Wildcard),
            ("**.example.com:443", Wildcard),
            ("*.*.example.com:443", Wildcard),
            ("**:443", Wildcard),
            ("*.10.0.0.7:443", Target(TargetError::NumericPattern)),
            ("*.:443", Target(TargetError::Empty)),
            ("", Target(TargetError::Empty)),
            ("example.com:0", Target(TargetError::BadPorts { text: "0".into() })),
        ] {
            assert_eq!(line.parse::<RuleSetTarget>(), Err(error), "{line:?}");
        }
    }

    #[test]
    fn sets_are_a_union_and_a_star_is_neither_host_nor_special() {
        let lines = ["mydependency1.example.com:443", "*.example.org:80", "*:8080"];
        let rules =
            lines.iter().flat_map(|line| line.parse::<RuleSetTarget>().unwrap().rules(line)).collect();
        let policy = EgressPolicy::new(rules).unwrap();
        for (destination, allowed) in [
            ("mydependency1.example.com:443", Some("mydependency1.example.com:443")),
            ("mydependency1.example.com:80", None),
            ("a.b.example.org:80", Some("*.example.org:80")),
            ("example.org:80", None),
            ("any.name.example:8080", Some("*:8080")),
            ("localhost:8080", Some("*:8080")),
            ("10.1.2.3:8080", Some("*:8080")),
            ("[2001:db8::1]:8080", Some("*:8080")),
            ("host:8080", None),
        ] {
            let found = policy.judge(&destination.parse().unwrap()).map(|rule| &*rule.origin);
            assert_eq!(found, allowed.ok_or(Denial::NoRule), "{destination}");
        }
        for special in ["127.0.0.1", "169.254.169.254", "::1", "0.0.0.0", "224.0.0.1", "::", "ff02::1"] {
            let address = special.parse().unwrap();
            let class = crate::classify(address);
            let literal = Destination::new(crate::Host::Address(address), 8080.try_into().unwrap());
            let denial = Err(Denial::Special { address, class });
            assert_eq!(policy.judge(&literal).map(|_| ()), denial, "{special}");
            let name = "localhost:8080".parse().unwrap();
            assert_eq!(policy.judge_address(&name, address), denial, "{special}");
        }
        assert_eq!(
            EgressPolicy::new(Vec::new()).unwrap().judge(&"a.example:80".parse().unwrap()),
            Err(Denial::NoRule)
        );
    }
}
