use std::fmt;

use super::{Ports, Target};

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

/// `egress.deny[2] (line 14): deny *.evil.example`
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Allow => "allow",
            Action::Deny => "deny",
        };
        write!(f, "{}: {action} {}", self.origin, self.target)?;
        match &self.ports {
            Ports::Any => Ok(()),
            Ports::Range(range) if range.start() == range.end() => write!(f, ":{}", range.start()),
            Ports::Range(range) => write!(f, ":{}-{}", range.start(), range.end()),
        }
    }
}
