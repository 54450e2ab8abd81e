use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU16,
    str::FromStr,
};

use crate::unmap;

/// A normalised host and port: the one type that is parsed, matched and dialled.
///
/// Two spellings of one target are equal here, so that a rule written for one
/// holds for the other: names are lower-case A-labels (RFC 5891) without a
/// trailing dot, and whatever a C resolver would take for an address
/// (`2852039166`, `0xa9fea9fe`, `0251.0376.0251.0376`) is that address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    host: Host,
    port: NonZeroU16,
}

/// A normalised DNS name or an IP address (never an IPv4-mapped IPv6 one).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// Lower-case A-labels joined by dots, no trailing dot, at most 253 bytes.
    Name(Box<str>),
    /// An address literal.
    Address(IpAddr),
}

impl Host {
    /// The word for the loopback of the machine that the enclave runs on, as a normalised name.
    pub const PARENT: &'static str = "host";

    /// Whether it takes a resolver to reach it: neither an address nor [`Host::PARENT`].
    pub fn is_resolved(&self) -> bool {
        matches!(self, Self::Name(name) if &**name != Self::PARENT)
    }
}

impl Destination {
    /// A host and a port.
    pub fn new(host: Host, port: NonZeroU16) -> Self {
        Self { host, port }
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port.get()
    }
}

/// `host:port`, with IPv6 addresses in brackets (RFC 9110 section 9.3.6, the
/// target of CONNECT).
impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        if text.len() > MAX_TEXT {
            return Err(DestinationError::TooLong { len: text.len() });
        }
        let (host, port) = text.rsplit_once(':').ok_or(DestinationError::MissingPort)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(DestinationError::UnbracketedIpv6);
        }
        Ok(Self { host: host.parse()?, port: parse_port(port)? })
    }
}

impl FromStr for Host {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        if let Some(inner) = text.strip_prefix('[') {
            let address = inner.strip_suffix(']').and_then(|v6| v6.parse::<Ipv6Addr>().ok());
            return match address {
                Some(address) => Ok(Self::Address(unmap(address.into()))),
                None => Err(DestinationError::BadIpv6),
            };
        }
        let name = normalise_name(text)?;
        // "Ends in a number": such a name can only be meant, and would only be
        // dialled, as an address (WHATWG URL section 3.5; inet_aton(3)).
        if ends_in_number(&name) {
            return match inet_aton(&name) {
                Some(address) => Ok(Self::Address(address.into())),
                None => Err(DestinationError::BadIpv4),
            };
        }
        Ok(Self::Name(name.into_boxed_str()))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(v4)) => v4.fmt(f),
            Self::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
        }
    }
}

/// Why text is no destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DestinationError {
    /// Longer than any host and port can be.
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// No `:port` at the end.
    MissingPort,
    /// Not a decimal number from 1 to 65535.
    BadPort,
    /// Several colons and no brackets.
    UnbracketedIpv6,
    /// Brackets around something else than an IPv6 address.
    BadIpv6,
    /// Ends in a number and is no IPv4 address.
    BadIpv4,
    /// Not a DNS name after IDNA.
    BadName,
}

impl fmt::Display for DestinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len } => write!(f, "destination has {len} bytes, the limit is {MAX_TEXT}"),
            Self::MissingPort => f.write_str("destination lacks its port (write host:port)"),
            Self::BadPort => f.write_str("port is not a number from 1 to 65535"),
            Self::UnbracketedIpv6 => f.write_str("IPv6 address needs brackets (write [address]:port)"),
            Self::BadIpv6 => f.write_str("brackets hold no IPv6 address"),
            Self::BadIpv4 => f.write_str("host ends in a number and is no IPv4 address"),
            Self::BadName => f.write_str("host is no DNS name"),
        }
    }
}

impl std::error::Error for DestinationError {}

/// 253 bytes of name (RFC 1035 section 2.3.4) in its longest UTF-8 spelling, and a port.
const MAX_TEXT: usize = 1024;

fn parse_port(text: &str) -> Result<NonZeroU16, DestinationError> {
    let digits = !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return Err(DestinationError::BadPort);
    }
    text.parse().map_err(|_| DestinationError::BadPort)
}

/// IDNA (UTS 46), lower case, one trailing dot taken off, RFC 1035 lengths.
/// Letters, digits, hyphens and underscores only: what resolvers and
/// certificates agree on.
pub(crate) fn normalise_name(text: &str) -> Result<String, DestinationError> {
    let ascii = idna::domain_to_ascii(text).map_err(|_| DestinationError::BadName)?;
    let name = ascii.strip_suffix('.').unwrap_or(&ascii);
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    if name.len() <= 253 && name.split('.').all(label_ok) {
        Ok(name.to_owned())
    } else {
        Err(DestinationError::BadName)
    }
}

/// Whether the last label of a normalised name is a number in any spelling, so
/// that no name can be meant.
pub(crate) fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    last.bytes().all(|b| b.is_ascii_digit()) || number(last).is_some()
}

/// The addresses that C's `inet_aton` reads: one to four numbers in decimal,
/// octal or hexadecimal, the last one filling the bytes that are left.
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.').map(number).collect::<Option<Vec<_>>>()?;
    let last = parts.pop()?;
    if parts.len() > 3 || parts.iter().any(|&part| part > 255) {
        return None;
    }
    let bits_left = 32 - 8 * parts.len() as u32;
    if last >= 1 << bits_left {
        return None;
    }
    let head = parts.iter().fold(0, |head, part| head << 8 | part);
    u32::try_from(head << bits_left | last).ok().map(Ipv4Addr::from_bits)
}

fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    // `0x` alone is zero, as it is to inet_aton. Leading zeros say nothing.
    if !digits.chars().all(|c| c.is_digit(radix)) || (digits.is_empty() && radix != 16) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    if digits.len() > 12 {
        // A number all the same, and too large for every part of an address.
        return Some(u64::MAX);
    }
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_target_are_one_destination() {
        for (text, normal) in [
            ("KMS.us-west-2.amazonaws.com:443", "kms.us-west-2.amazonaws.com:443"),
            ("evil.com.:443", "evil.com:443"),
            ("bücher.example:443", "xn--bcher-kva.example:443"),
            ("evil。com:443", "evil.com:443"),
            ("2852039166:80", "169.254.169.254:80"),
            ("0xa9fea9fe:80", "169.254.169.254:80"),
            ("0x00000000007f000001:80", "127.0.0.1:80"),
            ("0x:80", "0.0.0.0:80"),
            ("00000000000000000177.1:80", "127.0.0.1:80"),
            ("0251.0376.0251.0376:80", "169.254.169.254:80"),
            ("169.254.43518:80", "169.254.169.254:80"),
            ("127.1:80", "127.0.0.1:80"),
            ("0x7f.1:80", "127.0.0.1:80"),
            ("１２７.0.0.1:80", "127.0.0.1:80"),
            ("1.2.3.4.:80", "1.2.3.4:80"),
            ("[::ffff:169.254.169.254]:80", "169.254.169.254:80"),
            ("[2001:DB8::1]:80", "[2001:db8::1]:80"),
            ("_sip.example.com:5060", "_sip.example.com:5060"),
            ("a.abcdefabcdefabcdef:80", "a.abcdefabcdefabcdef:80"),
        ] {
            let destination: Destination = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(destination.to_string(), normal, "{text}");
            assert_eq!(normal.parse(), Ok(destination), "{normal} is not stable");
        }
    }

    #[test]
    fn what_is_no_destination_says_why() {
        use DestinationError::*;
        for (text, error) in [
            ("example.com", MissingPort),
            ("example.com:", BadPort),
            ("example.com:0", BadPort),
            ("example.com:65536", BadPort),
            ("example.com:+80", BadPort),
            ("example.com:00080x", BadPort),
            ("2001:db8::1:80", UnbracketedIpv6),
            ("[example.com]:80", BadIpv6),
            ("[fe80::1%eth0]:80", BadIpv6),
            ("[::1:80", BadIpv6),
            ("1.2.3.4.5:80", BadIpv4),
            ("256.1.1.1:80", BadIpv4),
            ("4294967296:80", BadIpv4),
            ("0xdbbdfffffffffffffffffffffffffffec4:80", BadIpv4),
            ("a.0xffffffffffffffffffffffff:80", BadIpv4),
            ("example.0x:80", BadIpv4),
            ("example.08:80", BadIpv4),
            (":80", BadName),
            (".:80", BadName),
            ("a..b:80", BadName),
            ("-a.example:80", BadName),
            ("a b.example:80", BadName),
            ("a\0.example:80", BadName),
            ("user@example.com:80", BadName),
            ("example.com/path:80", BadName),
            ("*.example.com:80", BadName),
        ] {
            assert_eq!(text.parse::<Destination>(), Err(error), "{text:?}");
        }
        let long = format!("{}:80", "a".repeat(2000));
        assert_eq!(long.parse::<Destination>(), Err(TooLong { len: 2003 }));
        let label = format!("{}.example:80", "a".repeat(64));
        assert_eq!(label.parse::<Destination>(), Err(BadName));
    }
}
