//! The egress policy: entries of its lists, and what rules of any kind decide.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use countersign_protocol::egress::{Action, EgressPolicy, Entry, PolicyError, Rule, RuleSetTarget, Target};
use countersign_protocol::{Destination, Host, unmap};

use self::reference::{Line, Whom};
use crate::recipe::Recipe;

/// The matcher that the policy's own tests compare it with.
#[path = "../../../protocol/tests/egress/reference.rs"]
mod reference;

/// Any text as an entry, and as a line of a rule set.
pub fn entry_raw(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Entry>() {
        Ok(entry) => check(text, &entry),
        Err(error) => readable(&error.to_string()),
    }
    match text.parse::<RuleSetTarget>() {
        Ok(target) => {
            assert_eq!(target.to_string().parse().as_ref(), Ok(&target), "{target} is not stable");
            for rule in target.rules("set") {
                assert_eq!(rule.action, Action::Allow, "{rule}");
                let one_port = (1..=65_535).filter(|port| rule.ports.contains(*port)).count();
                assert_eq!(one_port, 1, "{rule} opens several ports");
            }
        }
        Err(error) => readable(&error.to_string()),
    }
}

/// Rules, a destination and an address: the policy says what the reference says.
pub fn policy_structured(bytes: &[u8]) {
    let mut recipe = Recipe::new(bytes);
    let lines: Vec<Line> = (0..recipe.size(0..=12)).map(|_| line(&mut recipe)).collect();
    let rule = |(place, line): (usize, &Line)| {
        let action = if line.denies { Action::Deny } else { Action::Allow };
        let entry = line.entry().parse().unwrap_or_else(|why| panic!("{}: {why}", line.entry()));
        Rule::new(action, entry, place.to_string())
    };
    let policy = match EgressPolicy::new(lines.iter().enumerate().map(rule).collect()) {
        Ok(policy) => policy,
        Err(PolicyError::TooEntangled { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    for _ in 0..recipe.size(1..=4) {
        let destination = destination(&mut recipe);
        let address = address(&mut recipe);
        reference::compare(&policy, &lines, &destination, address);
        let explained = policy.explain(&destination);
        assert_eq!(explained.decision, policy.judge(&destination), "{destination}");
        assert!(explained.near.iter().all(|near| near.rule.action == Action::Allow), "{explained}");
    }
}

/// What holds for any text that is an entry.
fn check(text: &str, entry: &Entry) {
    let normal = entry.to_string();
    assert_eq!(normal.parse().as_ref(), Ok(entry), "{normal} is not stable");
    let rule = Rule::new(Action::Allow, entry.clone(), "rule");
    let policy = EgressPolicy::new(vec![rule]).unwrap_or_else(|why| panic!("{text}: {why}"));
    // An entry without a wildcard is the destination of the same text; to each other text it is none.
    let port = (1..=u16::MAX).find(|port| entry.ports.contains(*port)).expect("a port");
    if let Ok(host) = normal.strip_suffix(&format!(":{}", entry.ports)).unwrap_or(&normal).parse::<Host>() {
        let destination = Destination::new(host, port.try_into().expect("from 1 on"));
        let special = matches!(destination.host(), Host::Address(address)
            if countersign_protocol::classify(*address) == countersign_protocol::AddressClass::NotUnicast);
        assert_eq!(policy.judge(&destination).is_ok(), !special, "{destination} by {normal}");
    }
    let parent = Destination::new(Host::Name("host".into()), port.try_into().expect("from 1 on"));
    assert_eq!(policy.judge(&parent).is_ok(), entry.target == Target::Host, "{normal} means the parent");
}

fn readable(error: &str) {
    assert!(!error.is_empty() && !error.chars().any(char::is_control), "{error:?}");
}

fn line(recipe: &mut Recipe<'_>) -> Line {
    let denies = recipe.pick(&[false, false, true]);
    let ports = recipe.pick(&[(1, 65535), (80, 80), (80, 443), (100, 200), (443, 65535), (1, 80)]);
    let whom = match recipe.number(0..=3) {
        0 | 1 => {
            let label = |recipe: &mut Recipe<'_>| recipe.pick(&["a", "b", "c", "host", "*", "**"]).to_owned();
            let labels: Vec<String> = (0..recipe.size(1..=8)).map(|_| label(recipe)).collect();
            if labels == ["host"] { Whom::Host } else { Whom::Names(labels) }
        }
        2 => {
            let address = unmap(address(recipe));
            let limit = if address.is_ipv4() { 32_u8 } else { 128 };
            let prefix = recipe.number(0..=u64::from(limit)) as u8;
            Whom::Network(truncated(address, prefix), prefix)
        }
        _ => Whom::Host,
    };
    Line { denies, whom, ports }
}

fn destination(recipe: &mut Recipe<'_>) -> Destination {
    let host = match recipe.number(0..=2) {
        0 | 1 => {
            let labels: Vec<&str> =
                (0..recipe.size(1..=10)).map(|_| recipe.pick(&["a", "b", "c", "host"])).collect();
            Host::Name(labels.join(".").into())
        }
        _ => Host::Address(unmap(address(recipe))),
    };
    let port = recipe.pick(&[80_u16, 443, 1, 79, 81, 150, 444, 65535]);
    Destination::new(host, port.try_into().expect("from 1 on"))
}

fn address(recipe: &mut Recipe<'_>) -> IpAddr {
    let [a, b, c, d] = recipe.own::<4>();
    let a = recipe.pick(&[10, 127, 169, 0, 224, a]);
    let b = recipe.pick(&[0, 254, b]);
    let v4 = Ipv4Addr::new(a, b, c, d);
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    match recipe.number(0..=6) {
        0 | 1 => v4.into(),
        2 => v4.to_ipv6_mapped().into(),
        3 => Ipv6Addr::new(0x64, 0xff9b, recipe.pick(&[0, 1]), 0, 0, 0, high, low).into(),
        4 => Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1).into(),
        5 => Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low).into(),
        _ => Ipv6Addr::from(recipe.own::<16>()).into(),
    }
}

fn truncated(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}
