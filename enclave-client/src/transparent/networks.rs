use countersign_protocol::{
    AddressClass, Destination, Host, classify,
    egress::{Action, EgressPolicy, Rule, Target},
};
use ipnet::IpNet;

use super::{AddressPool, PortList};

/// What the transparent mode does for the networks that rules allow.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NetworkPlan {
    /// Routed to this machine.
    pub routes: Vec<IpNet>,
    /// Listened for, each at its own address.
    pub doors: Vec<Destination>,
    /// The rules whose networks are too large for that, or may not be routed.
    pub left_out: Vec<Box<str>>,
}

impl NetworkPlan {
    /// Plans for small networks: [`MAX_ADDRESSES`] addresses of all rules together. No
    /// name comes before a connection to an address, so each needs its listeners from the start.
    pub(super) fn new(rules: &[Rule], ports: &PortList, policy: &EgressPolicy, pool: &AddressPool) -> Self {
        let mut plan = Self::default();
        let mut room = MAX_ADDRESSES;
        for rule in rules.iter().filter(|rule| rule.action == Action::Allow) {
            let Target::Network(network) = &rule.target else { continue };
            if plan.routes.contains(network) {
                continue;
            }
            match size(network).filter(|size| *size <= room && may_be_routed(network, pool)) {
                None => plan.left_out.push(rule.to_string().into_boxed_str()),
                Some(size) => {
                    room -= size;
                    plan.routes.push(*network);
                    for address in addresses(network) {
                        let open = ports.open_for(&Host::Address(address), policy);
                        plan.doors.extend(open.unwrap_or_default());
                    }
                }
            }
        }
        plan.doors.sort_unstable();
        plan.doors.dedup();
        plan
    }
}

fn size(network: &IpNet) -> Option<usize> {
    let bits = network.max_prefix_len() - network.prefix_len();
    1usize.checked_shl(bits.into()).filter(|size| *size <= MAX_ADDRESSES)
}

fn addresses(network: &IpNet) -> impl Iterator<Item = std::net::IpAddr> {
    // `IpNet::hosts` leaves out the first and last address, which a rule names too.
    network.subnets(network.max_prefix_len()).into_iter().flatten().map(|one| one.addr())
}

/// Loopback is this machine's own, and the pool stands for names.
fn may_be_routed(network: &IpNet, pool: &AddressPool) -> bool {
    let unicast = |address| !matches!(classify(address), AddressClass::Loopback | AddressClass::NotUnicast);
    unicast(network.network()) && unicast(network.broadcast()) && !pool.overlaps(network)
}

/// One `/24`, or 256 single addresses.
const MAX_ADDRESSES: usize = 256;

#[cfg(test)]
mod tests {
    use countersign_protocol::egress::Ports;

    use super::*;

    fn plan(rules: &[(Action, &str, u16)]) -> NetworkPlan {
        let rule = |(action, target, port): &(Action, &str, u16)| Rule {
            action: *action,
            target: target.parse().unwrap(),
            ports: Ports::Range(*port..=*port),
            origin: "here".into(),
        };
        let rules: Vec<Rule> = rules.iter().map(rule).collect();
        let ports = PortList::new(&rules, &[]);
        NetworkPlan::new(&rules, &ports, &EgressPolicy::new(rules.clone()).unwrap(), &AddressPool::default())
    }

    #[test]
    fn small_networks_are_listened_for_address_by_address() {
        let plan = plan(&[
            (Action::Allow, "10.0.0.0/31", 5432),
            (Action::Allow, "2001:db8::1", 443),
            (Action::Allow, "169.254.169.254", 80),
            (Action::Deny, "10.0.0.1", 5432),
            (Action::Allow, "name.example", 443),
        ]);
        let doors: Vec<_> = plan.doors.iter().map(Destination::to_string).collect();
        assert_eq!(doors, ["10.0.0.0:5432", "169.254.169.254:80", "[2001:db8::1]:443"]);
        assert_eq!(plan.routes.len(), 3);
        assert_eq!(plan.left_out, [] as [Box<str>; 0]);
    }

    #[test]
    fn large_special_and_overlapping_networks_are_left_out() {
        let left_out = [
            "10.0.0.0/8",
            "10.0.0.0/23",
            "127.0.0.1",
            "[::1]",
            "198.18.7.0/24",
            "[fd5c:8b1e:46d0::/124]",
            "224.0.0.1",
            "0.0.0.0/0",
            "[::/0]",
        ];
        let rules: Vec<_> = left_out.iter().map(|text| (Action::Allow, *text, 443)).collect();
        let expected: Vec<Box<str>> =
            left_out.iter().map(|text| format!("here: allow {text}:443").into()).collect();
        let plan = plan(&rules);
        assert_eq!((plan.routes.len(), plan.doors.len()), (0, 0));
        assert_eq!(plan.left_out, expected);
    }

    #[test]
    fn all_networks_together_have_a_bound() {
        let plan = plan(&[
            (Action::Allow, "10.0.0.0/25", 443),
            (Action::Allow, "10.0.1.0/24", 443),
            (Action::Allow, "10.0.2.0/25", 443),
            (Action::Allow, "10.0.3.1", 443),
        ]);
        assert_eq!((plan.routes.len(), plan.doors.len(), plan.left_out.len()), (2, 256, 2));
    }
}
