use std::{collections::BTreeSet, num::NonZeroU16};

use countersign_protocol::{
    AddressClass, Destination, Host, classify,
    egress::{Action, Denial, EgressPolicy, Ports, Rule, Target},
};
use ipnet::IpNet;

use super::super::{AddressPool, Networks};

/// What the rules mean for a device that takes every port.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct TunPlan {
    /// Routed to the device besides the pool.
    pub(in super::super) routes: Vec<IpNet>,
    /// The rules whose networks may not be.
    pub(in super::super) left_out: Vec<Box<str>>,
    /// See [`Edges`].
    pub(in super::super) edges: Edges,
}

/// The ports at which what the rules say of a name can begin: if it is allowed at any port,
/// then at one of these.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Edges(Box<[NonZeroU16]>);

impl TunPlan {
    pub(in super::super) fn new(rules: &[Rule], networks: Networks, pool: &AddressPool) -> Self {
        let mut plan = Self { routes: Vec::new(), left_out: Vec::new(), edges: Edges::new(rules) };
        for rule in rules.iter().filter(|rule| rule.action == Action::Allow) {
            let Target::Network(network) = &rule.target else { continue };
            if networks == Networks::Untouched || plan.routes.contains(network) {
                continue;
            }
            match may_be_routed(network, pool) {
                true => plan.routes.push(network.trunc()),
                false => plan.left_out.push(rule.to_string().into_boxed_str()),
            }
        }
        plan
    }
}

impl Edges {
    /// Ports are allowed from the first of an allow rule or from behind the last of a deny rule.
    fn new(rules: &[Rule]) -> Self {
        let edges = rules.iter().filter_map(|rule| match (rule.action, &rule.ports) {
            (Action::Allow, Ports::Range(range)) => Some(*range.start()),
            (Action::Deny, Ports::Range(range)) => range.end().checked_add(1),
            (_, Ports::Any) => None,
        });
        let edges: BTreeSet<_> = edges.filter_map(NonZeroU16::new).chain([NonZeroU16::MIN]).collect();
        Self(edges.into_iter().collect())
    }

    /// Whether a name is allowed at some port.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn allow(&self, name: &str, policy: &EgressPolicy) -> Result<(), String> {
        let mut why = None;
        for port in &self.0 {
            match policy.judge(&Destination::new(Host::Name(name.into()), *port)) {
                Ok(_) => return Ok(()),
                // A deny rule says more than that no rule allows some other port.
                Err(denial) if why.is_none() || matches!(denial, Denial::Rule(_)) => {
                    why = Some(denial.to_string());
                }
                Err(_) => {}
            }
        }
        Err(why.unwrap_or_default())
    }
}

/// Not what is loopback or multicast as a whole, nor part of the pool. What merely holds those may be:
/// the kernel prefers the narrower route.
fn may_be_routed(network: &IpNet, pool: &AddressPool) -> bool {
    let special = |address| matches!(classify(address), AddressClass::Loopback | AddressClass::NotUnicast);
    let whole = network.prefix_len() > 0 && special(network.network()) && special(network.broadcast());
    !whole && !pool.networks().iter().any(|own| own.contains(network))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(action: Action, target: &str, ports: Ports) -> Rule {
        Rule { action, target: target.parse().unwrap(), ports, origin: "here".into() }
    }

    #[test]
    fn a_name_exists_if_any_port_is_allowed() {
        let rules = vec![
            rule(Action::Allow, "*.example", Ports::Range(8000..=9000)),
            rule(Action::Deny, "some.example", Ports::Range(8000..=8079)),
            rule(Action::Deny, "none.example", Ports::Range(8000..=u16::MAX)),
            rule(Action::Allow, "any.other", Ports::Any),
            rule(Action::Deny, "any.other", Ports::Range(1..=443)),
        ];
        let edges = Edges::new(&rules);
        let policy = EgressPolicy::new(rules).unwrap();
        for name in ["all.example", "some.example", "any.other"] {
            assert_eq!(edges.allow(name, &policy), Ok(()), "{name}");
        }
        let denied = edges.allow("none.example", &policy).unwrap_err();
        assert_eq!(denied, "denied by here: deny none.example:8000-65535");
        assert_eq!(edges.allow("else.where", &policy).unwrap_err(), "no rule allows it");
        // Nothing is allowed by no rule.
        assert!(Edges::new(&[]).allow("a.example", &EgressPolicy::default()).is_err());
    }

    #[test]
    fn networks_of_any_size_are_routed_but_for_special_ones() {
        let pool = AddressPool::default();
        let routed = ["10.0.0.0/8", "169.254.169.254", "0.0.0.0/0", "[2001:db8::/32]", "[::/0]"];
        let left_out = ["127.0.0.0/8", "[::1]", "224.0.0.0/4", "198.18.7.0/24", "[fd5c:8b1e:46d0::/64]"];
        let allow = |text: &&str| rule(Action::Allow, text, Ports::Any);
        let rules: Vec<_> = routed.iter().chain(&left_out).map(allow).collect();
        let plan = TunPlan::new(&rules, Networks::Routed, &pool);
        assert_eq!((plan.routes.len(), plan.left_out.len()), (routed.len(), left_out.len()), "{plan:?}");
        assert_eq!(TunPlan::new(&rules, Networks::Untouched, &pool).routes, []);
    }
}
