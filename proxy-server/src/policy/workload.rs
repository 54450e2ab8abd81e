use std::{collections::HashSet, fmt, net::IpAddr, num::NonZeroU64, str::FromStr};

use countersign_protocol::{AddressClass, Destination, Host, LeaseBounds, classify, unmap};
use ipnet::IpNet;

/// What an enclave is for, as one policy snapshot knows it.
///
/// The measurements that lead to it stand in the snapshot beside it
/// ([`super::Policy`]): a session needs the rules, not the PCRs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name, unique in the installation.
    pub name: WorkloadName,
    /// Where its tunnels may lead.
    pub destinations: Destinations,
    /// Special addresses (loopback, link-local, metadata) that a *name* among
    /// the destinations may resolve to. None by default.
    pub addresses: Vec<IpNet>,
    /// The leases its sessions are given.
    pub lease_bounds: LeaseBounds,
    /// How much of the proxy it may hold.
    pub limits: Limits,
}

impl Workload {
    /// Whether the address that `destination`'s host is, or resolved to, may be dialled.
    ///
    /// An ordinary address may. A special one must be named: literally by the
    /// destination itself, or by [`Workload::addresses`]. What is no unicast
    /// address is never dialled, whoever names it.
    pub fn allows_address(&self, destination: &Destination, address: IpAddr) -> bool {
        let address = unmap(address);
        match classify(address) {
            AddressClass::Ordinary => true,
            AddressClass::NotUnicast => false,
            AddressClass::Loopback | AddressClass::LinkLocal | AddressClass::Metadata => {
                *destination.host() == Host::Address(address)
                    || self.addresses.iter().any(|net| net.contains(&address))
            }
        }
    }
}

/// A set of exact destinations. An empty one denies everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destinations(HashSet<Destination>);

impl Destinations {
    /// Whether a tunnel may lead there.
    pub fn allows(&self, destination: &Destination) -> bool {
        self.0.contains(destination)
    }

    /// Every destination, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Destination> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none: then nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether everything allowed here is allowed by `other` too.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
}

impl FromIterator<Destination> for Destinations {
    fn from_iter<I: IntoIterator<Item = Destination>>(destinations: I) -> Self {
        Self(destinations.into_iter().collect())
    }
}

/// How much of the proxy one workload may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Live sessions of the workload.
    pub max_sessions: u32,
    /// Open tunnels of each of its sessions.
    pub max_tunnels_per_session: u32,
    /// Bytes that all its tunnels on one replica move in a second, both directions
    /// together; what is beyond waits. `None` is no limit.
    pub max_bytes_per_second: Option<NonZeroU64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_sessions: 1_000, max_tunnels_per_session: 1_024, max_bytes_per_second: None }
    }
}

/// The name of a workload: 1 to 64 of `a-z 0-9 . _ -`, a letter or digit first. It stands in session
/// certificates, so it has no room for anything a URI would have to escape.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadName(Box<str>);

impl WorkloadName {
    /// The longest name, in bytes.
    pub const MAX: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkloadName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        check_name(text).map(|()| Self(text.into()))
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that cannot name a workload or a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName;

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name is 1 to {} of a-z 0-9 . _ -, a letter or digit first", WorkloadName::MAX)
    }
}

impl std::error::Error for BadName {}

/// The rule for names of workloads and of measurements.
pub(crate) fn check_name(text: &str) -> Result<(), BadName> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    // Names stand in paths of the API, where `.` and `..` mean something else (RFC 3986 section 5.2.4).
    let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let fits = text.len() <= WorkloadName::MAX && starts_well && text.bytes().all(allowed);
    if fits { Ok(()) } else { Err(BadName) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_room_for_tricks() {
        assert_eq!("payments-v1.2_a".parse::<WorkloadName>().unwrap().as_str(), "payments-v1.2_a");
        for bad in ["", "A", "a/b", "a b", "é", "a\n", ".", "..", "-a", &"x".repeat(65)] {
            assert_eq!(bad.parse::<WorkloadName>(), Err(BadName), "{bad:?}");
        }
    }

    #[test]
    fn empty_destinations_deny() {
        let target: Destination = "kms.example:443".parse().unwrap();
        assert!(!Destinations::default().allows(&target));
        let some: Destinations = [target.clone()].into_iter().collect();
        assert!(some.allows(&target));
        assert!(some.allows(&"KMS.example.:443".parse().unwrap()));
        assert!(!some.allows(&"kms.example:444".parse().unwrap()));
        assert!(!some.allows(&"a.kms.example:443".parse().unwrap()));
    }

    #[test]
    fn a_special_address_must_be_named() {
        let by_name: Destination = "metadata.example:80".parse().unwrap();
        let literal: Destination = "169.254.169.254:80".parse().unwrap();
        let mut workload = workload();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(workload.allows_address(&by_name, address("10.0.0.1")));
        for special in ["127.0.0.1", "169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "::1"] {
            assert!(!workload.allows_address(&by_name, address(special)), "{special}");
        }
        assert!(workload.allows_address(&literal, address("169.254.169.254")));
        assert!(workload.allows_address(&literal, address("::ffff:169.254.169.254")));
        assert!(!workload.allows_address(&literal, address("169.254.169.253")));

        workload.addresses = vec!["127.0.0.0/8".parse().unwrap(), "0.0.0.0/0".parse().unwrap()];
        assert!(workload.allows_address(&by_name, address("127.0.0.1")));
        assert!(workload.allows_address(&by_name, address("::ffff:127.0.0.1")));
        assert!(!workload.allows_address(&by_name, address("::1")));
        assert!(!workload.allows_address(&by_name, address("224.0.0.1")), "never, whoever names it");
    }

    fn workload() -> Workload {
        Workload {
            name: "demo".parse().unwrap(),
            destinations: Destinations::default(),
            addresses: Vec::new(),
            lease_bounds: LeaseBounds::default(),
            limits: Limits::default(),
        }
    }
}
