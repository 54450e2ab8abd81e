use std::{fmt, net::IpAddr};

use super::Rule;
use crate::AddressClass;

/// Why a destination is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial<'p> {
    /// A deny rule names it.
    Rule(&'p Rule),
    /// No rule allows it.
    NoRule,
    /// The address is special, and no rule names it as such.
    Special {
        /// The address.
        address: IpAddr,
        /// What it is.
        class: AddressClass,
    },
    /// The address is not one that the destination can mean: another than the
    /// address that was asked for, or no loopback for `host`.
    Elsewhere {
        /// The address.
        address: IpAddr,
    },
}

impl fmt::Display for Denial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let only = |f: &mut fmt::Formatter<'_>, address, what| {
            write!(f, "{address} is {what}, which only a rule for that very address or network allows")
        };
        match self {
            Self::Rule(rule) => write!(f, "denied by {rule}"),
            Self::NoRule => f.write_str("no rule allows it"),
            Self::Special { address, class } => match class {
                AddressClass::Loopback => only(f, address, "a loopback address"),
                AddressClass::LinkLocal => only(f, address, "a link-local address"),
                AddressClass::Metadata => only(f, address, "an address of a metadata service"),
                AddressClass::NotUnicast => {
                    write!(f, "{address} is no unicast address, and no rule can allow it")
                }
                // Not special, so it is as if no rule had been found.
                AddressClass::Ordinary => f.write_str("no rule allows it"),
            },
            Self::Elsewhere { address } => write!(f, "{address} is not where that leads"),
        }
    }
}

impl std::error::Error for Denial<'_> {}

/// Why rules make no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// More rules than a policy may have.
    TooManyRules {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The patterns have more labels together than a policy may have.
    TooLarge,
    /// Wildcards stand beside labels at so many places that one name could cost this much.
    TooEntangled {
        /// The most places that one name could pass.
        steps: u64,
        /// The limit.
        limit: u32,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRules { count, limit } => write!(f, "{count} rules, the limit is {limit}"),
            Self::TooLarge => f.write_str("the patterns are too long together"),
            Self::TooEntangled { steps, limit } => write!(
                f,
                "the patterns overlap so much that one name could cost {steps} steps, the limit is {limit}: \
                 write fewer patterns with * or ** between other labels"
            ),
        }
    }
}

impl std::error::Error for PolicyError {}
