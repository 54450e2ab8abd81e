use std::{fmt, str::FromStr};

use super::Subject;

/// Who made a token, and who made the token it was made with, and so on; the
/// nearest first. Never empty.
///
/// An author could make a token for himself and approve his own change with
/// it. The lineage stays with the token, so that the store sees through that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage(Vec<Subject>);

impl Lineage {
    /// The longest. A token of the last one can make no token any more.
    pub const MAX: usize = 8;

    /// Made by somebody whom no token made.
    pub(super) fn of(maker: Subject) -> Self {
        Self(vec![maker])
    }

    /// Made with a token that was itself made by these; `None` when that is too deep.
    pub(super) fn below(&self, maker: Subject) -> Option<Self> {
        let deeper = || Self(std::iter::once(maker).chain(self.0.iter().cloned()).collect());
        (self.0.len() < Self::MAX).then(deeper)
    }

    /// Each of them, the nearest first.
    pub fn iter(&self) -> impl Iterator<Item = &Subject> {
        self.0.iter()
    }
}

/// The store's text: subjects with a space between them, the nearest first.
impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, subject) in self.0.iter().enumerate() {
            let space = if position == 0 { "" } else { " " };
            write!(f, "{space}{subject}")?;
        }
        Ok(())
    }
}

/// From the store's text.
impl FromStr for Lineage {
    type Err = BadLineage;

    fn from_str(text: &str) -> Result<Self, BadLineage> {
        let subjects: Result<Vec<Subject>, _> =
            text.split(' ').take(Self::MAX + 1).map(|part| part.parse().map_err(|_| BadLineage)).collect();
        match subjects? {
            subjects if subjects.len() <= Self::MAX => Ok(Self(subjects)),
            _ => Err(BadLineage),
        }
    }
}

/// Text that is no lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLineage;

impl fmt::Display for BadLineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected 1 to {} subjects with a space between them", Lineage::MAX)
    }
}

impl std::error::Error for BadLineage {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_a_bound_and_is_read_back() {
        let mut lineage = Lineage::of(Subject::local("root"));
        for depth in 1..Lineage::MAX {
            lineage = lineage.below(Subject::oidc(&depth.to_string())).unwrap();
        }
        assert_eq!(lineage.below(Subject::oidc("8")), None);
        assert_eq!(lineage.iter().next(), Some(&Subject::oidc("7")));
        assert_eq!(lineage.iter().last(), Some(&Subject::local("root")));
        assert_eq!(lineage.to_string().parse(), Ok(lineage.clone()));
        assert_eq!(format!("oidc:8 {lineage}").parse::<Lineage>(), Err(BadLineage));
        for bad in ["", " ", "local:root ", "nobody"] {
            assert_eq!(bad.parse::<Lineage>(), Err(BadLineage), "{bad:?}");
        }
    }
}
