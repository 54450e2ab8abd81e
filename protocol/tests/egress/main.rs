//! The egress policy from outside.
//!
//! ```text
//!   published.rs    what Enclaver's documents say of its policy
//!   ways_round.rs   every way round such a policy that is known
//!   addresses.rs    special addresses, and IPv4 inside IPv6
//!   properties.rs   any rules and any destination, beside reference.rs, which is as plain as can be
//!   bounds.rs       what hostile rules can cost
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod addresses;
mod bounds;
mod properties;
mod published;
mod reference;
mod ways_round;

use std::net::IpAddr;

use countersign_protocol::{
    Destination,
    egress::{Action, Denial, EgressPolicy, Rule},
};

/// `allow example.com:443`, `deny **.evil.example`; each line is the origin of its rule.
fn policy(lines: &[&str]) -> EgressPolicy {
    EgressPolicy::new(lines.iter().map(|line| rule(line)).collect()).unwrap()
}

fn rule(line: &str) -> Rule {
    let (action, entry) = match line.split_once(' ').unwrap() {
        ("allow", entry) => (Action::Allow, entry),
        ("deny", entry) => (Action::Deny, entry),
        _ => panic!("{line}"),
    };
    Rule::new(action, entry.parse().unwrap_or_else(|why| panic!("{line}: {why}")), line)
}

fn destination(text: &str) -> Destination {
    text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// The line that decides, or why none does: `allow …`, `deny …`, `no rule`, `special`, `elsewhere`.
fn judged(policy: &EgressPolicy, text: &str) -> String {
    match policy.judge(&destination(text)) {
        Ok(rule) => rule.origin.to_string(),
        Err(denial) => said(denial),
    }
}

/// The same of an address that a name resolved to; `ok` when it may be dialled.
fn resolved(policy: &EgressPolicy, text: &str, address: &str) -> String {
    let address: IpAddr = address.parse().unwrap();
    policy.judge_address(&destination(text), address).map_or_else(said, |()| "ok".to_owned())
}

fn said(denial: Denial<'_>) -> String {
    match denial {
        Denial::Rule(rule) => rule.origin.to_string(),
        Denial::NoRule => "no rule".to_owned(),
        Denial::Special { .. } => "special".to_owned(),
        Denial::Elsewhere { .. } => "elsewhere".to_owned(),
    }
}
