use std::fmt;

use super::{Entry, Ports, Target, entry};

/// One line of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it does.
    pub action: Action,
    /// To whom.
    pub target: Target,
    /// At which ports.
    pub ports: Ports,
    /// Where it stands, for whoever asks which rule decided: `egress.deny[2] (line 14)`.
    pub origin: Box<str>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Lets pass what no deny rule names.
    Allow,
    /// Refuses, whatever else allows.
    Deny,
}

impl Rule {
    /// An entry of a list, and where it stands.
    pub fn new(action: Action, entry: Entry, origin: impl Into<Box<str>>) -> Self {
        let Entry { target, ports } = entry;
        Self { action, target, ports, origin: origin.into() }
    }
}

/// `egress.deny[2] (line 14): deny *.evil.example`
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Allow => "allow",
            Action::Deny => "deny",
        };
        write!(f, "{}: {action} ", self.origin)?;
        entry::write(&self.target, &self.ports, f)
    }
}
