//! What hostile rules can cost: memory and steps have their bounds, and a policy beyond them is refused.

use countersign_protocol::egress::{EgressPolicy, PolicyError};

use super::{judged, policy, rule};

#[test]
fn ten_thousand_names_cost_as_many_steps_as_ten() {
    for count in [10, 10_000] {
        let mut lines: Vec<String> = (0..count).map(|at| format!("allow s{at}.prod.example.com")).collect();
        lines.extend((0..count).map(|at| format!("allow **.t{at}.example.org:443")));
        lines.extend((0..count).map(|at| format!("deny kms.**.u{at}.example.net")));
        lines.extend((0..count).map(|at| format!("allow v{at}.**.example.net")));
        let policy = policy(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(policy.most_steps(), 8, "{count}");
        assert_eq!(judged(&policy, "s9.prod.example.com:443"), "allow s9.prod.example.com");
        assert_eq!(judged(&policy, "x.v9.x.t9.example.org:443"), "allow **.t9.example.org:443");
        assert_eq!(judged(&policy, "kms.x.y.u9.example.net:443"), "deny kms.**.u9.example.net");
        assert_eq!(judged(&policy, "v9.x.example.net:443"), "allow v9.**.example.net");
    }
}

#[test]
fn a_pattern_of_many_stars_is_no_power_of_them() {
    let stars = vec!["**.a"; 50].join(".");
    let line = format!("allow {stars}");
    let policy = policy(&[&line, "allow **.*.**.*.**"]);
    let name = vec!["a"; 120].join(".");
    assert_eq!(judged(&policy, &format!("{name}:443")), line);
    let miss = format!("{}:443", vec!["a"; 99].join("."));
    assert_eq!(judged(&policy, &miss), "allow **.*.**.*.**");
    assert!(policy.most_steps() < 16_384, "{}", policy.most_steps());
}

#[test]
fn every_mixture_of_labels_and_stars_is_refused_before_it_costs() {
    for (wild, labels) in [("*", 14_u32), ("**", 12)] {
        let rules = (0..1_u32 << labels).map(|bits| {
            let label = |at: u32| if bits >> at & 1 == 1 { wild } else { "a" };
            rule(&format!("allow {}.com", (0..labels).map(label).collect::<Vec<_>>().join(".")))
        });
        let refused = EgressPolicy::new(rules.collect());
        assert!(
            matches!(refused, Err(PolicyError::TooEntangled { limit: 16_384, .. })),
            "{wild}: {refused:?}"
        );
    }
}

#[test]
fn patterns_between_the_same_ends_have_a_bound() {
    let line = |at: usize| rule(&format!("allow a.**.m{at}.**.z"));
    let fits = EgressPolicy::new((0..20).map(line).collect()).unwrap();
    assert_eq!(judged(&fits, "a.x.m19.x.z:443"), "allow a.**.m19.**.z");
    for count in [200, 2_000] {
        let refused = EgressPolicy::new((0..count).map(line).collect());
        assert!(matches!(refused, Err(PolicyError::TooEntangled { .. })), "{count}");
    }
}

#[test]
fn more_rules_or_labels_than_memory_is_good_for() {
    let same = rule("allow example.com");
    let refused = EgressPolicy::new(vec![same.clone(); 100_001]);
    assert_eq!(refused.unwrap_err(), PolicyError::TooManyRules { count: 100_001, limit: 100_000 });
    assert!(EgressPolicy::new(vec![same; 100_000]).is_ok());
    let deep = vec!["a"; 120].join(".");
    let rules = (0..8_301).map(|at| rule(&format!("allow {deep}.b{at}"))).collect();
    assert_eq!(EgressPolicy::new(rules).unwrap_err(), PolicyError::TooLarge);
}

#[test]
fn a_port_of_its_own_for_each_rule() {
    let lines: Vec<String> = (1..=50_000).map(|port| format!("allow 10.0.0.0/8:{port}-60000")).collect();
    let policy = policy(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    for (port, decides) in [(1, 1), (777, 1), (60_000, 1)] {
        assert_eq!(judged(&policy, &format!("10.1.1.1:{port}")), format!("allow 10.0.0.0/8:{decides}-60000"));
    }
    assert_eq!(judged(&policy, "10.1.1.1:60001"), "no rule");
}
