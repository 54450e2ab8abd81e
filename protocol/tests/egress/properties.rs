//! Any rules, any destination: the policy says what the reference says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use countersign_protocol::{
    Destination, Host,
    egress::{Action, EgressPolicy, Rule},
    unmap,
};

use super::reference::{self, Line, Whom};

#[test]
fn the_policy_says_what_the_reference_says() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut denied, mut allowed) = (0, 0);
    for _ in 0..4_000 {
        let lines: Vec<Line> = (0..random.below(12)).map(|_| line(&mut random)).collect();
        let policy = compiled(&lines);
        for _ in 0..25 {
            let destination = destination(&mut random);
            reference::compare(&policy, &lines, &destination, address(&mut random));
            match reference::judge(&lines, &destination) {
                reference::Verdict::Denied(_) => denied += 1,
                reference::Verdict::Allowed(_) => allowed += 1,
                _ => {}
            }
        }
    }
    // The alphabet is small enough that rules do hit.
    assert!(denied > 5_000 && allowed > 5_000, "{denied} denied, {allowed} allowed");
}

#[test]
fn patterns_of_many_wildcards_match_what_the_reference_matches() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut hits = 0;
    for _ in 0..20_000 {
        let labels =
            (0..1 + random.below(7)).map(|_| random.pick(&["a", "b", "*", "**", "**"]).to_owned()).collect();
        let line = Line { denies: false, whom: Whom::Names(labels), ports: (1, 65535) };
        let policy = compiled(std::slice::from_ref(&line));
        for _ in 0..10 {
            let labels: Vec<&str> = (0..1 + random.below(9)).map(|_| random.pick(&["a", "b"])).collect();
            let destination = Destination::new(labels.join(".").parse().unwrap(), 443.try_into().unwrap());
            let expected = reference::judge(std::slice::from_ref(&line), &destination);
            hits += u32::from(expected == reference::Verdict::Allowed(Some(0)));
            assert_eq!(
                policy.judge(&destination).is_ok(),
                expected == reference::Verdict::Allowed(Some(0)),
                "{} {destination}",
                line.entry()
            );
        }
    }
    assert!(hits > 10_000, "{hits} matched");
}

pub(crate) fn compiled(lines: &[Line]) -> EgressPolicy {
    let rule = |(place, line): (usize, &Line)| {
        let action = if line.denies { Action::Deny } else { Action::Allow };
        let entry = line.entry().parse().unwrap_or_else(|why| panic!("{}: {why}", line.entry()));
        Rule::new(action, entry, place.to_string())
    };
    EgressPolicy::new(lines.iter().enumerate().map(rule).collect()).unwrap()
}

fn line(random: &mut Random) -> Line {
    let whom = match random.below(10) {
        0 => Whom::Host,
        1..=5 => {
            let label =
                |random: &mut Random| random.pick(&["a", "b", "c", "host", "*", "*", "**", "**"]).to_owned();
            let labels: Vec<String> = (0..1 + random.below(5)).map(|_| label(random)).collect();
            if labels == ["host"] { Whom::Host } else { Whom::Names(labels) }
        }
        _ => {
            let address = unmap(address(random));
            let limit = if address.is_ipv4() { 32 } else { 128 };
            let prefix = match random.below(3) {
                0 => limit,
                1 => random.below(u64::from(limit) + 1) as u8,
                _ => random.pick(&[0, 8, 16, 24, limit]),
            };
            Whom::Network(truncated(address, prefix), prefix)
        }
    };
    let ports =
        random.pick(&[(1, 65535), (1, 65535), (80, 80), (80, 443), (100, 200), (443, 65535), (1, 80)]);
    Line { denies: random.below(3) == 0, whom, ports }
}

fn destination(random: &mut Random) -> Destination {
    let host = match random.below(3) {
        0 => Host::Address(unmap(address(random))),
        _ => {
            let labels: Vec<&str> =
                (0..1 + random.below(6)).map(|_| random.pick(&["a", "b", "c", "host"])).collect();
            labels.join(".").parse().unwrap()
        }
    };
    Destination::new(host, random.pick(&[1, 79, 80, 81, 150, 443, 444, 65535]).try_into().unwrap())
}

/// Addresses that lie near each other, the special ones among them, in every dress.
fn address(random: &mut Random) -> IpAddr {
    let v4 = Ipv4Addr::new(
        random.pick(&[10, 10, 11, 127, 169, 0, 224, 203]),
        random.pick(&[0, 254, 1]),
        random.pick(&[0, 169, 128]),
        random.pick(&[1, 254, 0, 255]),
    );
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    match random.below(9) {
        0..=3 => v4.into(),
        4 => v4.to_ipv6_mapped().into(),
        5 => Ipv6Addr::new(0x64, 0xff9b, random.pick(&[0, 1]), 0, 0, 0, high, low).into(),
        6 => Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1).into(),
        7 => Ipv6Addr::new(0, 0, 0, 0, 0, 0, random.pick(&[0, high]), random.pick(&[1, low])).into(),
        _ => Ipv6Addr::new(
            random.pick(&[0x2001, 0xfe80, 0xfd00, 0xff02]),
            random.pick(&[0xdb8, 0xec2, 0]),
            random.pick(&[0, 1]),
            0,
            0,
            0,
            0,
            random.pick(&[1, 2, 0xffff]),
        )
        .into(),
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

/// xorshift64: the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }
}
