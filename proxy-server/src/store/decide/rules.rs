use countersign_protocol::LeaseBounds;
use ipnet::IpNet;

use crate::policy::{Limits, Workload};

/// The rules of a workload that nobody has allowed anything yet.
pub(in crate::store) fn nothing_allowed(wanted: &Workload) -> Workload {
    Workload {
        name: wanted.name.clone(),
        destinations: Default::default(),
        addresses: Vec::new(),
        lease_bounds: wanted.lease_bounds,
        // A rate alone lets nobody in.
        limits: Limits { max_sessions: 0, max_tunnels_per_session: 0, ..wanted.limits },
    }
}

/// What both the rules in force and the wanted ones allow: that much needs nobody's approval.
pub(in crate::store) fn meet(in_force: &Workload, wanted: &Workload) -> Workload {
    let Workload { name, destinations, addresses, lease_bounds, limits } = wanted;
    let allowed = destinations.iter().filter(|destination| in_force.destinations.allows(destination));
    let max = lease_bounds.max().min(in_force.lease_bounds.max());
    let min = lease_bounds.min().min(max);
    Workload {
        name: name.clone(),
        destinations: allowed.cloned().collect(),
        addresses: common_networks(&in_force.addresses, addresses),
        lease_bounds: LeaseBounds::new(min, max).unwrap_or(in_force.lease_bounds),
        limits: Limits {
            max_sessions: limits.max_sessions.min(in_force.limits.max_sessions),
            max_tunnels_per_session: limits
                .max_tunnels_per_session
                .min(in_force.limits.max_tunnels_per_session),
            max_bytes_per_second: match (in_force.limits.max_bytes_per_second, limits.max_bytes_per_second) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        },
    }
}

/// Whether `wanted` allows something that `in_force` does not.
pub(in crate::store) fn allows_more(in_force: &Workload, wanted: &Workload) -> bool {
    let Workload { name: _, destinations, addresses, lease_bounds, limits } = wanted;
    !destinations.is_subset(&in_force.destinations)
        || !addresses.iter().all(|net| in_force.addresses.iter().any(|other| other.contains(net)))
        || lease_bounds.max() > in_force.lease_bounds.max()
        || limits.max_sessions > in_force.limits.max_sessions
        || limits.max_tunnels_per_session > in_force.limits.max_tunnels_per_session
        || in_force
            .limits
            .max_bytes_per_second
            .is_some_and(|was| limits.max_bytes_per_second.is_none_or(|is| is > was))
}

/// Of two networks one contains the other, or they have nothing in common.
fn common_networks(a: &[IpNet], b: &[IpNet]) -> Vec<IpNet> {
    let inside = |nets: &[IpNet], net: &IpNet| nets.iter().any(|other| other.contains(net));
    let mut common: Vec<IpNet> = b.iter().filter(|net| inside(a, net)).copied().collect();
    common.extend(a.iter().filter(|net| inside(b, net)));
    common.sort_unstable();
    common.dedup();
    common
}

#[cfg(test)]
mod tests {
    use countersign_protocol::Lease;

    use super::*;

    /// Every combination of a few values of each rule.
    fn workloads() -> Vec<Workload> {
        let mut all = Vec::new();
        for destinations in [&[][..], &["a.example:1"], &["a.example:1", "b.example:1"], &["b.example:1"]] {
            for addresses in [&[][..], &["10.0.0.0/8"], &["10.1.0.0/16", "127.0.0.0/8"]] {
                for (min, max) in [(30, 60), (45, 600)] {
                    for limit in [1, 5] {
                        let lease = |seconds| Lease::from_secs(seconds).unwrap();
                        all.push(Workload {
                            name: "w".parse().unwrap(),
                            destinations: destinations.iter().map(|text| text.parse().unwrap()).collect(),
                            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
                            lease_bounds: LeaseBounds::new(lease(min), lease(max)).unwrap(),
                            limits: Limits {
                                max_sessions: limit,
                                max_tunnels_per_session: 6 - limit,
                                max_bytes_per_second: None,
                            },
                        });
                    }
                }
            }
        }
        all
    }

    #[test]
    fn what_is_in_force_at_once_is_allowed_by_the_old_rules_and_the_new() {
        for old in workloads() {
            for new in workloads() {
                let both = meet(&old, &new);
                assert!(!allows_more(&old, &both), "{old:?} {new:?} {both:?}");
                assert!(!allows_more(&new, &both), "{old:?} {new:?} {both:?}");
                let same = crate::store::texts::rules_text(&both).unwrap()
                    == crate::store::texts::rules_text(&new).unwrap();
                assert!(
                    allows_more(&old, &new) || same,
                    "what only narrows is in force whole: {old:?} {new:?}"
                );
            }
        }
    }

    #[test]
    fn a_network_inside_another_is_what_both_have() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        let common = |a: &[&str], b: &[&str]| common_networks(&nets(a), &nets(b));
        assert_eq!(common(&["10.0.0.0/8"], &["10.1.0.0/16", "11.0.0.0/8"]), nets(&["10.1.0.0/16"]));
        assert_eq!(common(&["10.1.0.0/16"], &["0.0.0.0/0"]), nets(&["10.1.0.0/16"]));
        assert_eq!(common(&["fd00::/8"], &["0.0.0.0/0"]), nets(&[]));
    }

    #[test]
    fn nobody_is_allowed_anything_before_the_first_approval() {
        for wanted in workloads() {
            let nothing = nothing_allowed(&wanted);
            assert!(allows_more(&nothing, &wanted));
            assert_eq!((nothing.destinations.len(), nothing.addresses.len()), (0, 0));
            assert_eq!((nothing.limits.max_sessions, nothing.limits.max_tunnels_per_session), (0, 0));
        }
    }
}
