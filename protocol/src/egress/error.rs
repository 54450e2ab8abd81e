use std::fmt;

use ipnet::IpNet;

use crate::DestinationError;

/// Why text is no entry of a list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// Nothing stands where a name or an address belongs.
    Empty,
    /// Longer than any target can be.
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// Neither a wildcard nor a label of a DNS name after IDNA.
    BadLabel {
        /// As it was written.
        label: Box<str>,
    },
    /// A `*` inside a label: only a whole label can be a wildcard.
    WildcardInLabel {
        /// As it was written.
        label: Box<str>,
    },
    /// Wildcards among the numbers of an address, or a number at the end of a pattern: it could match no name.
    NumericPattern,
    /// Every label is fine, and the whole is no name.
    BadName(DestinationError),
    /// Not an address, where the signs around it promise one.
    BadAddress {
        /// As it was written.
        text: Box<str>,
    },
    /// The prefix length of a network.
    BadPrefix {
        /// As it was written.
        text: Box<str>,
        /// The longest possible.
        limit: u8,
    },
    /// Bits are set beyond the prefix: an address or a network may be meant.
    HostBits {
        /// The network without them.
        network: IpNet,
    },
    /// Neither a port nor a range of ports.
    BadPorts {
        /// As it was written.
        text: Box<str>,
    },
    /// A range that ends before it begins.
    PortsReversed {
        /// Its first port.
        first: u16,
        /// Its last port.
        last: u16,
    },
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("names no host"),
            Self::TooLong { len, limit } => write!(f, "has {len} bytes, the limit is {limit}"),
            Self::BadLabel { label } => write!(f, "{label:?} is no label of a DNS name"),
            Self::WildcardInLabel { label } => {
                write!(f, "{label:?}: only a whole label can be a wildcard (* for one, ** for one or more)")
            }
            Self::NumericPattern => {
                f.write_str("wildcards are for names; write a network (10.0.0.0/24) for addresses")
            }
            Self::BadName(why) => why.fmt(f),
            Self::BadAddress { text } => write!(
                f,
                "{text:?} is no address (IPv6 with a port: [2001:db8::1]:443, [2001:db8::/32]:443; \
                 networks in plain decimal: 10.0.0.0/8)"
            ),
            Self::BadPrefix { text, limit } => {
                write!(f, "{text:?} is no prefix length (a number from 0 to {limit})")
            }
            Self::HostBits { network } => {
                write!(f, "has bits beyond its prefix; write {network} for the network, or the address alone")
            }
            Self::BadPorts { text } => write!(
                f,
                "{text:?} is neither a port (1 to 65535) nor a range (8000-8100); no port at all means any"
            ),
            Self::PortsReversed { first, last } => {
                write!(f, "the range {first}-{last} ends before it begins")
            }
        }
    }
}

impl std::error::Error for TargetError {}
