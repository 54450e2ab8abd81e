use std::{fmt, ops::RangeInclusive, str::FromStr};

use super::TargetError;

/// Which ports of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// Every port.
    Any,
    /// From the first to the last of them.
    Range(RangeInclusive<u16>),
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

/// One port, `443`, or a range, `8000-8100`: decimal, 1 to 65535.
impl FromStr for Ports {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (Some(first), Some(last)) = (port(first), port(last)) else {
            return Err(TargetError::BadPorts { text: text.into() });
        };
        if first > last {
            return Err(TargetError::PortsReversed { first, last });
        }
        Ok(Self::Range(first..=last))
    }
}

impl From<u16> for Ports {
    fn from(port: u16) -> Self {
        Self::Range(port..=port)
    }
}

/// `443`, `8000-8100`, and `any` for every port.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Range(range) if range.start() == range.end() => range.start().fmt(f),
            Self::Range(range) => write!(f, "{}-{}", range.start(), range.end()),
        }
    }
}

fn port(text: &str) -> Option<u16> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}
