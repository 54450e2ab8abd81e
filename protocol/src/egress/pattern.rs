use std::{fmt, str::FromStr};

use super::TargetError;
use crate::destination::{ends_in_number, normalise_name};

/// A name with `*` for one label and `**` for one or more, compared from end to end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern(Box<[Label]>);

/// One label of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Label {
    /// This one, normalised.
    Is(Box<str>),
    /// Any one.
    One,
    /// Any one or more.
    Many,
}

impl NamePattern {
    /// Whether a normalised name matches, the whole pattern against the whole name.
    pub fn matches(&self, name: &str) -> bool {
        glob(&self.0, name).0
    }

    /// `**`.
    pub(super) fn every_name() -> Self {
        Self(Box::new([Label::Many]))
    }

    /// Every name below this one: `**.` before it.
    pub(super) fn below(&self) -> Result<Self, TargetError> {
        format!("**.{self}").parse()
    }

    /// Its labels, from left to right.
    pub(super) fn labels(&self) -> &[Label] {
        &self.0
    }
}

/// Whether labels match a name from end to end, and in how many steps that was found:
/// no more than the product of both lengths, each one longer.
pub(super) fn glob(pattern: &[Label], name: &str) -> (bool, u32) {
    let labels: Vec<&str> = name.split('.').collect();
    let (mut at, mut taken, mut steps) = (0, 0, 0);
    // Where the last `**` stands, and how many labels are taken with it.
    let mut many = None;
    // With a later `**` to take up the rest, an earlier one never needs to take more:
    // so one place to come back to is enough, and the time is a product, not a power.
    loop {
        steps += 1;
        match (pattern.get(at), labels.get(taken)) {
            (None, None) => return (true, steps),
            (Some(Label::Many), Some(_)) => {
                many = Some((at, taken + 1));
                (at, taken) = (at + 1, taken + 1);
            }
            (Some(label), Some(name)) if label.takes(name) => (at, taken) = (at + 1, taken + 1),
            (_, left) => match many {
                Some((many_at, with)) if left.is_some() && with < labels.len() => {
                    many = Some((many_at, with + 1));
                    (at, taken) = (many_at + 1, with + 1);
                }
                _ => return (false, steps),
            },
        }
    }
}

impl Label {
    /// Whether this label is that one, and no wildcard.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Is(label) if **label == *name)
    }

    /// Whether this label, on its own, takes that one.
    pub(super) fn takes(&self, name: &str) -> bool {
        match self {
            Self::Is(label) => **label == *name,
            Self::One | Self::Many => true,
        }
    }
}

impl FromStr for NamePattern {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let text = text.strip_suffix(DOTS).unwrap_or(text);
        let labels = text.split(DOTS).map(label).collect::<Result<Box<[_]>, _>>()?;
        let pattern = Self(labels);
        let len = pattern.to_string().len();
        if len > MAX_NAME {
            return Err(TargetError::TooLong { len, limit: MAX_NAME });
        }
        pattern.may_match_a_name()?;
        Ok(pattern)
    }
}

impl NamePattern {
    /// No name ends in a number, so neither may a pattern: a rule that matches nothing denies nothing.
    /// `10.0.0.*` could match `10.0.0.example` only, which nobody means.
    fn may_match_a_name(&self) -> Result<(), TargetError> {
        let wild = self.0.iter().any(|label| !matches!(label, Label::Is(_)));
        let number = |label: &Label| matches!(label, Label::Is(label) if ends_in_number(label));
        let address = self.0.iter().any(number)
            && self.0.iter().all(|label| number(label) || !matches!(label, Label::Is(_)));
        match (wild, self.0.last()) {
            (true, _) if address => Err(TargetError::NumericPattern),
            (true, Some(last)) if number(last) => Err(TargetError::NumericPattern),
            (false, Some(last)) if number(last) => {
                Err(TargetError::BadName(crate::DestinationError::BadIpv4))
            }
            _ => Ok(()),
        }
    }
}

fn label(text: &str) -> Result<Label, TargetError> {
    match text {
        "*" => return Ok(Label::One),
        "**" => return Ok(Label::Many),
        _ if text.contains('*') => return Err(TargetError::WildcardInLabel { label: text.into() }),
        _ => {}
    }
    match normalise_name(text) {
        Ok(label) if !label.contains('.') => Ok(Label::Is(label.into())),
        _ => Err(TargetError::BadLabel { label: text.into() }),
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, label) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match label {
                Label::Is(label) => write!(f, "{dot}{label}")?,
                Label::One => write!(f, "{dot}*")?,
                Label::Many => write!(f, "{dot}**")?,
            }
        }
        Ok(())
    }
}

/// What separates labels (UTS 46 section 4, step 1 and IDNA2003 section 3.1).
const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// RFC 1035 section 2.3.4, less the length byte and the root. It holds for patterns
/// too, since no wildcard stands for less than one byte.
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_pattern_counts() {
        for (pattern, name, matches) in [
            ("auth.**.mycorp.com", "x.mycorp.com", false),
            ("auth.**.mycorp.com", "auth.mycorp.com", false),
            ("auth.**.mycorp.com", "auth.a.mycorp.com", true),
            ("auth.**.mycorp.com", "auth.a.b.mycorp.com", true),
            ("auth.**.mycorp.com", "x.auth.a.mycorp.com", false),
            ("**.a.**.a.com", "x.a.a.a.com", true),
            ("**.a.**.a.com", "a.x.a.com", false),
            ("**.a.**.b.**", "1.a.b.a.2.b.3", true),
            ("**.a.**.b.**", "1.a.b.3", false),
            ("www.**", "www.example.com", true),
            ("www.**", "www", false),
            ("**.*.com", "a.com", false),
            ("**.*.com", "b.a.com", true),
            ("*.**.com", "b.a.com", true),
        ] {
            assert_eq!(pattern.parse::<NamePattern>().unwrap().matches(name), matches, "{pattern} {name}");
        }
    }
}
