use std::{fmt, net::IpAddr};

use countersign_protocol::{
    AddressClass, Destination, Host, classify,
    egress::{EgressPolicy, PolicyError, Rule},
};

use super::RuleSet;

/// What may be reached from here.
#[derive(Debug)]
pub enum OuterLimit {
    /// What the `EgressRuleSet`s name, all of them together. None: nothing.
    RuleSets(EgressPolicy),
    /// Whatever the enclave's own policy lets pass; it alone decides.
    Unlimited,
}

impl OuterLimit {
    /// The union of the sets.
    ///
    /// # Errors
    /// [`PolicyError`]: more rules than one policy holds.
    pub fn union(sets: &[RuleSet]) -> Result<Self, PolicyError> {
        let rules: Vec<Rule> = sets.iter().flat_map(RuleSet::rules).collect();
        EgressPolicy::new(rules).map(Self::RuleSets)
    }

    /// Judges what was asked for, before any name is resolved. For what is not
    /// resolved this is the whole judgement.
    ///
    /// # Errors
    /// [`Beyond`].
    pub fn judge(&self, destination: &Destination) -> Result<(), Beyond> {
        match self {
            Self::RuleSets(policy) => {
                policy.judge(destination).map(|_| ()).map_err(|why| Beyond::RuleSets(why.to_string()))
            }
            Self::Unlimited => match destination.host() {
                // 0.0.0.0 is this very machine to connect(2), under a name that says otherwise.
                Host::Address(address) if classify(*address) == AddressClass::NotUnicast => {
                    Err(Beyond::Special(*address))
                }
                _ => Ok(()),
            },
        }
    }

    /// Judges an address that the name of a destination led to: an ordinary one
    /// passes, a special one only if a rule names it as such.
    ///
    /// # Errors
    /// [`Beyond`].
    pub fn judge_address(&self, destination: &Destination, address: IpAddr) -> Result<(), Beyond> {
        match self {
            Self::RuleSets(policy) => {
                policy.judge_address(destination, address).map_err(|why| Beyond::RuleSets(why.to_string()))
            }
            Self::Unlimited => match classify(address) {
                AddressClass::Ordinary => Ok(()),
                _ => Err(Beyond::Special(address)),
            },
        }
    }

    /// Whether a connection to that destination, at that address, may stand.
    pub fn holds(&self, destination: &Destination, address: IpAddr) -> bool {
        let by_name = destination.host().is_resolved();
        self.judge(destination).is_ok() && (!by_name || self.judge_address(destination, address).is_ok())
    }

    /// How many rules there are, for the log; none when there is no limit.
    pub fn rules(&self) -> Option<usize> {
        match self {
            Self::RuleSets(policy) => Some(policy.rules().len()),
            Self::Unlimited => None,
        }
    }
}

/// Beyond the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// As the rule sets have it.
    RuleSets(String),
    /// A name led there, or nobody can be meant.
    Special(IpAddr),
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RuleSets(why) => write!(f, "the parent's EgressRuleSets: {why}"),
            Self::Special(address) => {
                write!(f, "{address} is {:?}, where no name may lead", classify(*address))
            }
        }
    }
}

impl std::error::Error for Beyond {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::limit::parse;

    fn limit(text: &str) -> OuterLimit {
        OuterLimit::union(&parse(text, "t.yaml").unwrap()).unwrap()
    }

    fn to(text: &str) -> Destination {
        text.parse().unwrap()
    }

    #[test]
    fn no_set_lets_nothing_pass() {
        let nothing = OuterLimit::union(&[]).unwrap();
        for destination in ["a.example:443", "192.0.2.1:443", "host:80", "127.0.0.1:80"] {
            assert!(matches!(nothing.judge(&to(destination)), Err(Beyond::RuleSets(_))), "{destination}");
        }
    }

    #[test]
    fn sets_are_united() {
        let set = |name: &str, target: &str| {
            format!(
                "apiVersion: zalando.org/v1\nkind: EgressRuleSet\nmetadata: {{ name: {name} }}\nspec: {{ targets: ['{target}'] }}\n"
            )
        };
        let both = limit(&[set("one", "a.example:443"), set("two", "*:80")].join("---\n"));
        for (destination, passes) in [
            ("a.example:443", true),
            ("b.example:443", false),
            ("b.example:80", true),
            ("192.0.2.1:80", true),
            // `*` is everyone else: neither the parent nor what is special.
            ("host:80", false),
            ("127.0.0.1:80", false),
            ("169.254.169.254:80", false),
            ("0.0.0.0:80", false),
        ] {
            assert_eq!(both.judge(&to(destination)).is_ok(), passes, "{destination}");
        }
        let name = to("b.example:80");
        for (address, passes) in [
            ("192.0.2.1", true),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("::ffff:127.0.0.1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(both.judge_address(&name, address).is_ok(), passes, "{address}");
            assert_eq!(both.holds(&name, address), passes, "{address}");
        }
    }

    #[test]
    fn without_a_limit_a_name_still_leads_to_no_special_address() {
        let unlimited = OuterLimit::Unlimited;
        for (destination, passes) in
            [("a.example:443", true), ("host:80", true), ("169.254.169.254:80", true), ("0.0.0.0:80", false)]
        {
            assert_eq!(unlimited.judge(&to(destination)).is_ok(), passes, "{destination}");
        }
        let imds = "169.254.169.254".parse().unwrap();
        assert_eq!(unlimited.judge_address(&to("a.example:80"), imds), Err(Beyond::Special(imds)));
        assert!(!unlimited.holds(&to("a.example:80"), imds));
        assert!(unlimited.holds(&to("169.254.169.254:80"), imds));
        assert!(unlimited.holds(&to("host:80"), "127.0.0.1".parse().unwrap()));
    }
}
