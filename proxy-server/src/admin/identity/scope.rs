use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::policy::WorkloadName;

/// On which workloads somebody may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On all there are and will be, and on the installation itself.
    Everything,
    /// On these, whether they exist yet or not. An empty set is on nothing.
    Workloads(BTreeSet<WorkloadName>),
}

impl Scope {
    /// The most workloads a scope's text may name.
    pub const MAX: usize = 1_000;

    /// One workload.
    pub fn only(workload: WorkloadName) -> Self {
        Self::Workloads(BTreeSet::from([workload]))
    }

    /// Whether `workload` lies in it.
    pub fn sees(&self, workload: &WorkloadName) -> bool {
        match self {
            Self::Everything => true,
            Self::Workloads(names) => names.contains(workload),
        }
    }

    /// Whether all of `other` lies in it.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everything, _) => true,
            (Self::Workloads(_), Self::Everything) => false,
            (Self::Workloads(names), Self::Workloads(others)) => others.is_subset(names),
        }
    }
}

/// The store's text: `*`, or names with a comma between them. No name can hold
/// a comma or be `*`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str(EVERYTHING),
            Self::Workloads(names) => {
                let names: Vec<_> = names.iter().map(WorkloadName::as_str).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

/// From the store's text. The empty text is a mistake and not a scope: it is
/// what a column that somebody forgot to fill looks like.
impl FromStr for Scope {
    type Err = BadScope;

    fn from_str(text: &str) -> Result<Self, BadScope> {
        match text {
            EVERYTHING => Ok(Self::Everything),
            "" => Err(BadScope::Empty),
            names => Self::of_names(names.split(',')),
        }
    }
}

impl Scope {
    /// The workloads of these names.
    ///
    /// # Errors
    /// [`BadScope`]: none, too many, one that is no name, one that stands twice.
    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, BadScope> {
        let mut workloads = BTreeSet::new();
        for name in names {
            if workloads.len() == Self::MAX {
                return Err(BadScope::TooMany);
            }
            let parsed: WorkloadName =
                name.parse().map_err(|_| BadScope::NotAName { found: name.chars().take(64).collect() })?;
            if !workloads.insert(parsed) {
                return Err(BadScope::Twice { name: name.to_owned() });
            }
        }
        if workloads.is_empty() { Err(BadScope::Empty) } else { Ok(Self::Workloads(workloads)) }
    }
}

/// Text that is no scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadScope {
    /// There is nothing in it.
    Empty,
    /// More than [`Scope::MAX`] workloads.
    TooMany,
    /// A part is no workload's name.
    NotAName {
        /// The part.
        found: String,
    },
    /// A name stands twice.
    Twice {
        /// Which.
        name: String,
    },
}

impl fmt::Display for BadScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no workload; \"*\" is for all of them"),
            Self::TooMany => write!(f, "more than {} workloads", Scope::MAX),
            Self::NotAName { found } => write!(f, "expected \"*\" or names of workloads; found {found:?}"),
            Self::Twice { name } => write!(f, "the workload {name} stands twice"),
        }
    }
}

impl std::error::Error for BadScope {}

/// How [`Scope::Everything`] is written.
pub(super) const EVERYTHING: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    #[test]
    fn the_stores_text_is_read_back() {
        for text in ["*", "a", "a,b-1,c.d_e"] {
            assert_eq!(scope(text).to_string(), text);
        }
        assert_eq!(scope("b,a").to_string(), "a,b");
    }

    #[test]
    fn what_is_no_scope_is_told_apart() {
        let bad = |text: &str| text.parse::<Scope>().unwrap_err();
        assert_eq!(bad(""), BadScope::Empty);
        assert_eq!(bad("a,a"), BadScope::Twice { name: "a".to_owned() });
        for text in ["a,*", "*,a", "**", "a,", ",a", "a b", "A"] {
            assert!(matches!(bad(text), BadScope::NotAName { .. }), "{text:?}");
        }
        let many: Vec<_> = (0..=Scope::MAX).map(|n| n.to_string()).collect();
        assert_eq!(bad(&many.join(",")), BadScope::TooMany);
        assert!(many[1..].join(",").parse::<Scope>().is_ok());
    }

    #[test]
    fn no_list_of_names_is_everything() {
        assert!(Scope::Everything.covers(&scope("a,b")));
        assert!(scope("a,b").covers(&scope("b")));
        assert!(!scope("a,b").covers(&scope("b,c")));
        assert!(!scope("a,b").covers(&Scope::Everything));
        assert!(!Scope::Workloads(BTreeSet::new()).sees(&"a".parse().unwrap()));
    }
}
