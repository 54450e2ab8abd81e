use std::{fmt, net::IpAddr, ops::RangeInclusive, str::FromStr};

use ipnet::IpNet;

use crate::{DestinationError, Host, unmap};

/// Whom a rule names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Names, by pattern.
    Name(NamePattern),
    /// Addresses, one or a network.
    Network(IpNet),
    /// The word `host`: the parent machine's loopback. No pattern ever means it.
    Host,
}

/// A name with `*` for one label and `**` for one or more, compared from end to end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern(Box<[Label]>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Label {
    Is(Box<str>),
    One,
    Many,
}

/// Which ports of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// Every port.
    Any,
    /// From the first to the last of them.
    Range(RangeInclusive<u16>),
}

impl NamePattern {
    /// Whether a normalised name matches, the whole pattern against the whole name.
    pub fn matches(&self, name: &str) -> bool {
        let labels: Vec<&str> = name.split('.').collect();
        matches_from(&self.0, &labels)
    }
}

fn matches_from(pattern: &[Label], labels: &[&str]) -> bool {
    match pattern.split_first() {
        None => labels.is_empty(),
        Some((Label::Is(label), rest)) => {
            labels.split_first().is_some_and(|(first, more)| *first == &**label && matches_from(rest, more))
        }
        Some((Label::One, rest)) => !labels.is_empty() && matches_from(rest, &labels[1..]),
        Some((Label::Many, rest)) => (1..=labels.len()).any(|taken| matches_from(rest, &labels[taken..])),
    }
}

impl FromStr for NamePattern {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let label = |label: &str| match label {
            "*" => Ok(Label::One),
            "**" => Ok(Label::Many),
            plain => match plain.parse::<Host>() {
                Ok(Host::Name(name)) if !name.contains('.') => Ok(Label::Is(name)),
                Ok(_) | Err(DestinationError::BadIpv4) if plain.bytes().all(|b| b.is_ascii_digit()) => {
                    Ok(Label::Is(plain.into()))
                }
                Ok(_) => Err(TargetError::Name(DestinationError::BadName)),
                Err(why) => Err(TargetError::Name(why)),
            },
        };
        text.split('.').map(label).collect::<Result<Box<[_]>, _>>().map(Self)
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

impl Ports {
    /// Whether the port is one of them.
    pub fn contains(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Range(range) => range.contains(&port),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.eq_ignore_ascii_case("host") {
            return Ok(Self::Host);
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(network) = bare.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Network(unmap(address).into()));
        }
        match text.parse::<Host>() {
            Ok(Host::Address(address)) => Ok(Self::Network(address.into())),
            _ => text.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(pattern) => pattern.fmt(f),
            Self::Network(network) => network.fmt(f),
            Self::Host => f.write_str("host"),
        }
    }
}

/// Why text names no target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// A label is neither a wildcard nor part of a name.
    Name(DestinationError),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(why) => write!(f, "neither a name, a pattern, an address nor a network: {why}"),
        }
    }
}

impl std::error::Error for TargetError {}
