use std::collections::BTreeSet;

use super::{Found, RuleId, SlotId};
use crate::egress::{Action, Ports, Rule};

/// The rules of one target: which of them decides at a port.
///
/// Most targets have one rule. It stands here and not behind a pointer, since what
/// a decision costs is memory that is not in the cache.
#[derive(Clone, Debug)]
pub(super) enum ByPort {
    One { action: Action, first: u16, last: u16, rule: RuleId },
    Several(Box<Several>),
}

/// By what they do.
#[derive(Clone, Debug)]
pub(super) struct Several {
    deny: Spans,
    allow: Spans,
}

/// Which rule comes first from one port on, up to where the next span begins. Ascending.
#[derive(Clone, Debug, Default)]
struct Spans(Box<[(u16, Option<RuleId>)]>);

impl ByPort {
    /// What the rules say at a port.
    pub(super) fn at(&self, port: u16) -> Found {
        match self {
            Self::One { action, first, last, rule } => {
                let rule = (*first <= port && port <= *last).then_some(*rule);
                match action {
                    Action::Deny => Found { deny: rule, allow: None },
                    Action::Allow => Found { deny: None, allow: rule },
                }
            }
            Self::Several(several) => Found { deny: several.deny.at(port), allow: several.allow.at(port) },
        }
    }

    fn new(rules: &[Rule], ids: &[RuleId]) -> Self {
        let rule = |id: &RuleId| rules.get(id.0 as usize);
        if let [id] = ids
            && let Some(Rule { action, ports, .. }) = rule(id)
        {
            let (first, last) = ends(ports);
            return Self::One { action: *action, first, last, rule: *id };
        }
        let of = |action| {
            let rule = |id| rule(id).filter(|rule| rule.action == action);
            Spans::new(ids.iter().filter_map(|id| Some((*id, &rule(id)?.ports))))
        };
        Self::Several(Box::new(Several { deny: of(Action::Deny), allow: of(Action::Allow) }))
    }
}

fn ends(ports: &Ports) -> (u16, u16) {
    match ports {
        Ports::Any => (0, u16::MAX),
        Ports::Range(range) => (*range.start(), *range.end()),
    }
}

impl Spans {
    fn at(&self, port: u16) -> Option<RuleId> {
        let after = match self.0.len() {
            0 | 1 => self.0.len(),
            _ => self.0.partition_point(|(first, _)| *first <= port),
        };
        let (first, rule) = self.0.get(after.checked_sub(1)?)?;
        rule.filter(|_| *first <= port)
    }

    /// Goes over the ports where a rule begins or ends, and keeps those that hold there.
    fn new<'r>(rules: impl Iterator<Item = (RuleId, &'r Ports)>) -> Self {
        let mut events = Vec::new();
        for (id, ports) in rules {
            let (first, last) = ends(ports);
            if first <= last {
                events.push((u32::from(first), Event::Begins, id));
                events.push((u32::from(last) + 1, Event::Ends, id));
            }
        }
        events.sort_unstable();
        let mut holding = BTreeSet::new();
        let mut spans: Vec<(u16, Option<RuleId>)> = Vec::new();
        for (port, event, id) in events {
            match event {
                Event::Begins => holding.insert(id),
                Event::Ends => holding.remove(&id),
            };
            // Beyond the last port nothing is asked.
            let Ok(port) = u16::try_from(port) else { continue };
            let rule = holding.first().copied();
            match spans.last_mut() {
                Some(last) if last.0 == port => last.1 = rule,
                Some(last) if last.1 == rule => {}
                _ => spans.push((port, rule)),
            }
        }
        Self(spans.into())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ends,
    Begins,
}

/// The rules of all targets, while they are gathered.
#[derive(Debug, Default)]
pub(super) struct Slots(Vec<Vec<RuleId>>);

impl Slots {
    /// Adds a rule to a target, which has its slot from its first rule on.
    pub(super) fn add(&mut self, slot: &mut Option<SlotId>, rule: RuleId) {
        let next = SlotId(self.0.len() as u32);
        let slot = *slot.get_or_insert(next);
        match self.0.get_mut(slot.0 as usize) {
            Some(rules) => rules.push(rule),
            None => self.0.push(vec![rule]),
        }
    }

    /// All of them, by port.
    pub(super) fn finish(self, rules: &[Rule]) -> Box<[ByPort]> {
        self.0.iter().map(|ids| ByPort::new(rules, ids)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_each_port_the_first_rule_that_holds_there() {
        let ports =
            ["80", "70-90", "90-100", "65535", "80", "1-65535"].map(|text| text.parse::<Ports>().unwrap());
        let spans = Spans::new((0..).map(RuleId).zip(&ports));
        for port in 0..=u16::MAX {
            let expected = ports.iter().position(|ports| ports.contains(port)).map(|at| RuleId(at as u32));
            assert_eq!(spans.at(port), expected, "{port}");
        }
        assert_eq!(Spans::default().at(80), None);
        let any = Spans::new([(RuleId(7), &Ports::Any)].into_iter());
        assert_eq!((any.at(1), any.at(u16::MAX)), (Some(RuleId(7)), Some(RuleId(7))));
    }
}
