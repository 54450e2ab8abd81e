//! One decision of the egress policy, by the number of its rules.
//!
//! Of ten rules three are names, two are `*.` and two `**.` patterns, one has its `**` inside, two are networks; two
//! of them deny. Every rule has its turn, in an order without order.

use std::{hint::black_box, time::Instant};

use countersign_protocol::{
    Destination,
    egress::{Action, EgressPolicy, Rule},
};

use crate::failure::{Context, Failure};
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::{median, micros};

/// Runs the part.
///
/// # Errors
/// A destination is judged otherwise than it must be.
pub(crate) fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    for (rules, label) in [(10, "10"), (1_000, "1k"), (10_000, "10k")] {
        let began = Instant::now();
        let policy =
            EgressPolicy::new((0..rules).map(rule).collect::<Result<_, _>>()?).context("a policy")?;
        let build = micros(began.elapsed());
        for kind in
            [Kind::Name, Kind::Wildcard, Kind::Inner, Kind::Address, Kind::NameMiss, Kind::AddressMiss]
        {
            let destinations = destinations(kind, rules)?;
            let turn = || turn(&policy, &destinations, kind.passes(), settings.pick(500_000, 5_000));
            let samples = (0..3 * settings.rounds()).map(|_| turn()).collect::<Result<Vec<_>, _>>()?;
            let name = format!("egress-judge-{}-{label}-ns", kind.name());
            let unit = format!("ns ({rules} rules)");
            report.judge(&name, median(samples), unit, Goal::AtMost(200.0));
        }
        report.add(&format!("egress-policy-build-{label}-ms"), build / 1e3, "ms (entries read and compiled)");
        report.add(
            &format!("egress-policy-steps-{label}"),
            f64::from(policy.most_steps()),
            "steps, any name",
        );
    }
    Ok(())
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Kind {
    Name,
    Wildcard,
    Inner,
    Address,
    NameMiss,
    AddressMiss,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Wildcard => "wildcard",
            Self::Inner => "inner-wildcard",
            Self::Address => "address",
            Self::NameMiss => "name-miss",
            Self::AddressMiss => "address-miss",
        }
    }

    fn passes(self) -> bool {
        !matches!(self, Self::NameMiss | Self::AddressMiss)
    }
}

fn rule(at: u32) -> Result<Rule, Failure> {
    let group = at / 10;
    let (action, entry) = match at % 10 {
        0 => (Action::Allow, format!("s{group}.prod.example.com:443")),
        1 => (Action::Allow, format!("www.shop-{group}.example")),
        2 => (Action::Deny, format!("bad.t{group}.example.org")),
        3 => (Action::Allow, format!("*.t{group}.example.org")),
        4 => (Action::Allow, format!("*.a{group}.amazonaws.com:443")),
        5 => (Action::Allow, format!("**.u{group}.example.net:8000-8100")),
        6 => (Action::Allow, format!("**.corp-{group}.example")),
        7 => (Action::Allow, format!("kms{group}.**.amazonaws.com:443")),
        8 => (Action::Allow, format!("10.{}.{}.0/24:5432", group >> 8, group & 255)),
        _ => (Action::Deny, format!("10.{}.{}.66", group >> 8, group & 255)),
    };
    Ok(Rule::new(action, entry.parse().context(entry)?, format!("egress.allow[{at}]")))
}

fn destinations(kind: Kind, rules: u32) -> Result<Vec<Destination>, Failure> {
    let groups = rules / 10;
    let text = |turn: u32| {
        let group = (turn.wrapping_mul(2_654_435_761) >> 7) % groups;
        match (kind, turn % 2) {
            (Kind::Name, 0) => format!("s{group}.prod.example.com:443"),
            (Kind::Name, _) => format!("www.shop-{group}.example:80"),
            (Kind::Wildcard, 0) => format!("api.t{group}.example.org:443"),
            (Kind::Wildcard, _) => format!("a.b.u{group}.example.net:8080"),
            (Kind::Inner, _) => format!("kms{group}.eu-west-1.amazonaws.com:443"),
            (Kind::Address, _) => format!("10.{}.{}.{}:5432", group >> 8, group & 255, turn % 60 + 1),
            (Kind::NameMiss, 0) => format!("s{group}x.prod.example.com:443"),
            (Kind::NameMiss, _) => format!("www.shop-{group}.example.edu:443"),
            (Kind::AddressMiss, _) => format!("10.{}.{}.{}:443", group >> 8, group & 255, turn % 200 + 1),
        }
    };
    (0..DESTINATIONS).map(text).map(|text| text.parse().context(&text)).collect()
}

/// Nanoseconds of one decision.
fn turn(
    policy: &EgressPolicy,
    destinations: &[Destination],
    passes: bool,
    count: usize,
) -> Result<f64, Failure> {
    let began = on_processor()?;
    let mut passed = 0;
    for destination in destinations.iter().cycle().take(count) {
        passed += usize::from(black_box(policy.judge(black_box(destination))).is_ok());
    }
    let elapsed = on_processor()? - began;
    if passed != if passes { count } else { 0 } {
        return Err(Failure::new(format!("{passed} of {count} were let pass")));
    }
    Ok(elapsed / count as f64)
}

/// Nanoseconds that this thread has had a processor (proc(5), `schedstat`).
fn on_processor() -> Result<f64, Failure> {
    let text = std::fs::read_to_string(SCHEDSTAT).context(SCHEDSTAT)?;
    text.split(' ').next().unwrap_or_default().parse().context(SCHEDSTAT)
}

const SCHEDSTAT: &str = "/proc/thread-self/schedstat";

/// More than a processor's branch predictor learns by heart.
const DESTINATIONS: u32 = 20_000;
