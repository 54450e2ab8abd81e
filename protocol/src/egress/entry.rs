use std::{fmt, str::FromStr};

use ipnet::IpNet;

use super::{Ports, Target, TargetError};

/// One entry of a list of rules: whom, and at which ports.
///
/// ```text
/// example.com        *.example.com:443        **.example.com:8000-8100
/// 10.0.0.7:5432      10.0.0.0/8               host:8080
/// [2001:db8::1]:443  [2001:db8::/32]:443      2001:db8::/32
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Whom.
    pub target: Target,
    /// Every port when the entry names none.
    pub ports: Ports,
}

/// An IPv6 address or network without brackets takes the whole entry, since its
/// last group cannot be told from a port: with a port it needs brackets.
impl FromStr for Entry {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.len() > MAX_TEXT {
            return Err(TargetError::TooLong { len: text.len(), limit: MAX_TEXT });
        }
        let (target, ports) = match text.rsplit_once(':') {
            None => (text, None),
            Some((target, _)) if text.ends_with(']') || (target.contains(':') && !target.ends_with(']')) => {
                (text, None)
            }
            Some((target, ports)) => (target, Some(ports)),
        };
        Ok(Self { target: target.parse()?, ports: ports.map_or(Ok(Ports::Any), str::parse)? })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(&self.target, &self.ports, f)
    }
}

/// The text of an entry that parses to the same.
pub(super) fn write(target: &Target, ports: &Ports, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (target, ports) {
        (target, Ports::Any) => write!(f, "{target}"),
        (Target::Network(IpNet::V6(_)), ports) => write!(f, "[{target}]:{ports}"),
        (target, ports) => write!(f, "{target}:{ports}"),
    }
}

/// A name in its longest UTF-8 spelling, and ports.
const MAX_TEXT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DestinationError;

    #[test]
    fn entries_have_one_normal_form() {
        for (text, normal) in [
            ("example.com", "example.com"),
            ("Example.COM.", "example.com"),
            ("example.com.:443", "example.com:443"),
            ("*.example.com:8000-8100", "*.example.com:8000-8100"),
            ("**.example.com:443-443", "**.example.com:443"),
            ("**.*.example.com", "**.*.example.com"),
            ("*", "*"),
            ("**:443", "**:443"),
            ("*.BÜCHER.example", "*.xn--bcher-kva.example"),
            ("*。bücher．example", "*.xn--bcher-kva.example"),
            ("1.*.example.com", "1.*.example.com"),
            ("_sip.*.example.com:5060", "_sip.*.example.com:5060"),
            ("host", "host"),
            ("HOST.:8080", "host:8080"),
            ("ｈｏｓｔ", "host"),
            ("10.0.0.7", "10.0.0.7"),
            ("10.0.0.7/32:5432", "10.0.0.7:5432"),
            ("10.0.0.0/8:5432", "10.0.0.0/8:5432"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2852039166", "169.254.169.254"),
            ("0xa9fea9fe:80", "169.254.169.254:80"),
            ("0251.0376.0251.0376", "169.254.169.254"),
            ("１２７.1", "127.0.0.1"),
            ("1.2.3.4.", "1.2.3.4"),
            ("2001:DB8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("[2001:db8::/32]", "2001:db8::/32"),
            ("[2001:db8::/32]:443-444", "[2001:db8::/32]:443-444"),
            ("2001:db8::1:443", "2001:db8::1:443"),
            ("::/0", "::/0"),
            ("::ffff:169.254.169.254", "169.254.169.254"),
            ("[::ffff:169.254.169.254]:80", "169.254.169.254:80"),
            ("::ffff:169.254.0.0/112", "169.254.0.0/16"),
            ("[::ffff:0:0/96]:80", "0.0.0.0/0:80"),
        ] {
            let entry: Entry = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(entry.to_string(), normal, "{text}");
            assert_eq!(normal.parse(), Ok(entry), "{normal} is not stable");
        }
    }

    #[test]
    fn what_is_no_entry_says_why() {
        use TargetError::*;
        let label = |label: &str| BadLabel { label: label.into() };
        let ports = |text: &str| BadPorts { text: text.into() };
        for (text, error) in [
            ("", Empty),
            (":443", Empty),
            ("[]:443", BadAddress { text: "".into() }),
            (".", label("")),
            ("a..b", label("")),
            ("*..b", label("")),
            ("*.exa mple.com", label("exa mple")),
            ("-a.example", label("-a")),
            (" example.com", label(" example")),
            ("https://example.com", ports("//example.com")),
            ("example.com/path", BadAddress { text: "example.com".into() }),
            ("a*b.example.com", WildcardInLabel { label: "a*b".into() }),
            ("***.example.com", WildcardInLabel { label: "***".into() }),
            ("*.exam**.com", WildcardInLabel { label: "exam**".into() }),
            ("＊.example.com", label("＊")),
            ("*\u{ad}.example.com", WildcardInLabel { label: "*\u{ad}".into() }),
            ("10.0.0.*", NumericPattern),
            ("*.1", NumericPattern),
            ("**.0x7f", NumericPattern),
            ("*.*.5.*", NumericPattern),
            ("1.2.3.4.5", BadName(DestinationError::BadIpv4)),
            ("4294967296", BadName(DestinationError::BadIpv4)),
            ("256.1.1.1", BadName(DestinationError::BadIpv4)),
            ("example.com:", ports("")),
            ("example.com:*", ports("*")),
            ("example.com:0", ports("0")),
            ("example.com:65536", ports("65536")),
            ("example.com:+80", ports("+80")),
            ("example.com:80-", ports("80-")),
            ("example.com:80-90-100", ports("80-90-100")),
            ("example.com:90-80", PortsReversed { first: 90, last: 80 }),
            ("10.0.0.0/33", BadPrefix { text: "33".into(), limit: 32 }),
            ("10.0.0.0/-1", BadPrefix { text: "-1".into(), limit: 32 }),
            ("10.0.0.0/08", BadPrefix { text: "08".into(), limit: 32 }),
            ("10.0.0.0/255.0.0.0", BadPrefix { text: "255.0.0.0".into(), limit: 32 }),
            ("[::/129]:80", BadPrefix { text: "129".into(), limit: 128 }),
            ("10.0.0.5/8", HostBits { network: "10.0.0.0/8".parse().unwrap() }),
            ("::ffff:10.0.0.5/104", HostBits { network: "10.0.0.0/8".parse().unwrap() }),
            ("2001:db8::1/32", HostBits { network: "2001:db8::/32".parse().unwrap() }),
            ("0xa9fe0000/16", BadAddress { text: "0xa9fe0000".into() }),
            ("010.0.0.0/8", BadAddress { text: "010.0.0.0".into() }),
            ("10/8", BadAddress { text: "10".into() }),
            ("2001:db8::g", BadAddress { text: "2001:db8::g".into() }),
            ("2001:db8::/32:443", BadPrefix { text: "32:443".into(), limit: 128 }),
            ("[10.0.0.1]:80", BadAddress { text: "10.0.0.1".into() }),
            ("[10.0.0.0/8]", BadAddress { text: "10.0.0.0".into() }),
            ("[2001:db8::]/32", BadAddress { text: "[2001:db8::]".into() }),
            ("[fe80::1%eth0]:80", BadAddress { text: "fe80::1%eth0".into() }),
            ("[::1", BadAddress { text: "[::1".into() }),
            ("::1]", BadAddress { text: "::1]".into() }),
            ("[example.com]:80", BadAddress { text: "example.com".into() }),
        ] {
            assert_eq!(text.parse::<Entry>(), Err(error), "{text:?}");
        }
        let long = "a".repeat(1025);
        assert_eq!(long.parse::<Entry>(), Err(TooLong { len: 1025, limit: 1024 }));
        let long = format!("*.{}", vec!["a".repeat(50); 5].join("."));
        assert_eq!(long.parse::<Entry>(), Err(TooLong { len: 256, limit: 253 }));
    }
}
