//! `egress.allow` and `egress.deny`, and which entries a deny rule makes unreachable.

use countersign_protocol::{
    Destination, Host,
    egress::{Action, EgressPolicy, Entry, Ports, Rule, Target},
};

use super::{Mistake, checked::parsed, node::Place, raw};

/// The rules of a manifest, by how they came to be.
pub(super) struct Rules {
    /// Of `outboundConnections`: one destination each.
    pub(super) exact: Vec<(Written, Destination, Rule)>,
    /// Of `egress`.
    pub(super) listed: Vec<(Written, Rule)>,
}

/// Where something stands.
#[derive(Clone)]
pub(super) struct Written {
    pub(super) path: String,
    pub(super) place: Place,
}

/// The rules of the two lists.
pub(super) fn check(raw: &raw::Egress, mistakes: &mut Vec<Mistake>) -> Vec<(Written, Rule)> {
    let allow = raw.allow.iter().map(|(path, text)| (Action::Allow, path, text));
    let deny = raw.deny.iter().map(|(path, text)| (Action::Deny, path, text));
    allow
        .chain(deny)
        .filter_map(|(action, path, text)| {
            let entry = parsed::<Entry>(text, path, mistakes)?;
            let written = Written { path: path.clone(), place: text.place };
            let rule = Rule::new(action, entry, written.origin());
            Some((written, rule))
        })
        .collect()
}

impl Rules {
    /// Entries that allow nothing: a deny rule names all that they do, or no rule can allow it.
    pub(super) fn unreachable(&self, policy: &EgressPolicy) -> Vec<Mistake> {
        let exact = self.exact.iter().filter(|(_, _, rule)| !is_deny(rule));
        let exact = exact.filter_map(|(written, destination, _)| {
            policy.judge(destination).err().map(|denial| written.never_reached(&denial.to_string()))
        });
        let denies: Vec<_> = self.listed.iter().map(|(_, rule)| rule).filter(|rule| is_deny(rule)).collect();
        let allows: Vec<_> = self.listed.iter().filter(|(_, rule)| !is_deny(rule)).collect();
        let few = denies.len().saturating_mul(allows.len()) <= MAX_COMPARISONS;
        let listed = allows.into_iter().filter(|_| few).filter_map(|(written, allow)| {
            denies
                .iter()
                .find(|deny| covers(deny, allow))
                .map(|deny| written.never_reached(&format!("denied by {deny}")))
        });
        exact.chain(listed).collect()
    }

    /// As the policy takes them.
    pub(super) fn to_vec(&self) -> Vec<Rule> {
        let exact = self.exact.iter().map(|(_, _, rule)| rule);
        exact.chain(self.listed.iter().map(|(_, rule)| rule)).cloned().collect()
    }
}

impl Written {
    /// For [`Rule::origin`]: `egress.deny[2] (line 14)`.
    pub(super) fn origin(&self) -> Box<str> {
        format!("{} (line {})", self.path, self.place.line).into_boxed_str()
    }

    fn never_reached(&self, why: &str) -> Mistake {
        self.place.mistake(&self.path, format!("is never reached: {why}"))
    }
}

fn is_deny(rule: &Rule) -> bool {
    rule.action == Action::Deny
}

/// Whether whatever the one rule allows is denied by the other, as far as it can be told without trying: not
/// for a pattern that lies within another.
fn covers(deny: &Rule, allow: &Rule) -> bool {
    let targets = match (&deny.target, &allow.target) {
        (Target::Name(pattern), Target::Name(name)) => {
            pattern == name
                || name.to_string().parse().is_ok_and(|host| match host {
                    Host::Name(name) => pattern.matches(&name),
                    Host::Address(_) => false,
                })
        }
        (Target::Network(deny), Target::Network(allow)) => deny.contains(allow),
        (deny, allow) => deny == allow,
    };
    let ports = match (&deny.ports, &allow.ports) {
        (Ports::Any, _) => true,
        (Ports::Range(_), Ports::Any) => false,
        (Ports::Range(deny), Ports::Range(allow)) => {
            deny.contains(allow.start()) && deny.contains(allow.end())
        }
    };
    targets && ports
}

/// A hint is not worth minutes: with more pairs than these nobody looks for entries of `allow` that `deny` covers.
const MAX_COMPARISONS: usize = 100_000;
