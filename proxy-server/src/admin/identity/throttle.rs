use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use countersign_protocol::unmap;
use tokio::time::Instant;

/// Makes whoever fails to log in wait, longer each time.
///
/// It is not what keeps tokens from being guessed: 256 random bits do that. It
/// keeps strangers from making the proxy verify and look up for them, and the
/// audit readable. So it may forget: at most [`MAX_NETWORKS`] networks are
/// remembered, and the one that failed longest ago goes first. Whoever has more
/// networks than that has no bound here, and the memory has one all the same.
#[derive(Default)]
pub(super) struct Throttle(Mutex<Table>);

#[derive(Default)]
struct Table {
    networks: HashMap<ClientNetwork, Failures>,
    /// The same networks by their last failure, the oldest first.
    by_age: BTreeMap<u64, ClientNetwork>,
    next: u64,
}

struct Failures {
    count: u32,
    last: Instant,
    age: u64,
}

impl Throttle {
    /// How long the network must wait before its next attempt; `Ok` is not at all.
    pub(super) fn check(&self, network: ClientNetwork, now: Instant) -> Result<(), Duration> {
        let table = self.table();
        let Some(failures) = table.networks.get(&network) else { return Ok(()) };
        let waits = (failures.last + pause(failures.count)).saturating_duration_since(now);
        if waits.is_zero() { Ok(()) } else { Err(waits) }
    }

    /// Counts a failed attempt, and gives how many there were in a row. Nothing
    /// but time forgives: a success would let whoever has one token try others.
    pub(super) fn failed(&self, network: ClientNetwork, now: Instant) -> u32 {
        let mut table = self.table();
        let age = table.next;
        table.next += 1;
        let before = match table.networks.remove(&network) {
            Some(failures) => {
                table.by_age.remove(&failures.age);
                if now.saturating_duration_since(failures.last) < FORGIVEN { failures.count } else { 0 }
            }
            None => 0,
        };
        if table.networks.len() >= MAX_NETWORKS
            && let Some((_, oldest)) = table.by_age.pop_first()
        {
            table.networks.remove(&oldest);
        }
        let count = before.saturating_add(1);
        table.by_age.insert(age, network);
        table.networks.insert(network, Failures { count, last: now, age });
        count
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Five mistakes cost nothing; then 1 s, 2 s, 4 s … up to five minutes.
fn pause(failures: u32) -> Duration {
    match failures.checked_sub(FREE) {
        None | Some(0) => Duration::ZERO,
        Some(over) => Duration::from_secs(1 << (over - 1).min(16)).min(LONGEST),
    }
}

/// Where a client comes from, as far as it cannot choose: its IPv4 address, or
/// the /64 of its IPv6 address, in which one machine can have any address
/// (RFC 7421).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientNetwork {
    /// One address.
    V4(Ipv4Addr),
    /// The upper 64 bits.
    V6(u64),
}

impl ClientNetwork {
    /// The network of an address. An IPv4 address inside an IPv6 one is the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match unmap(address) {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6(upper) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*upper) << 64)),
        }
    }
}

/// At about 150 bytes each this is 2.5 MB.
pub(super) const MAX_NETWORKS: usize = 16_384;

/// So many mistakes in a row are free.
pub(super) const FREE: u32 = 5;

const LONGEST: Duration = Duration::from_secs(300);

/// After so long without a failure, the count begins again.
const FORGIVEN: Duration = Duration::from_secs(900);

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u32) -> ClientNetwork {
        ClientNetwork::V4(Ipv4Addr::from_bits(number))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn failures_back_off_and_time_forgives() {
        let throttle = Throttle::default();
        let mut now = Instant::now();
        for count in 1..=FREE {
            assert_eq!(throttle.failed(network(1), now), count);
            assert_eq!(throttle.check(network(1), now), Ok(()));
        }
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            throttle.failed(network(1), now);
            assert_eq!(throttle.check(network(1), now), Err(seconds(expected)));
            assert_eq!(throttle.check(network(2), now), Ok(()), "others do not wait");
            now += seconds(expected);
            assert_eq!(throttle.check(network(1), now), Ok(()));
        }
        assert_eq!(throttle.failed(network(1), now + FORGIVEN), 1);
    }

    #[test]
    fn many_networks_do_not_grow_the_memory() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..=FREE {
            throttle.failed(network(0), now);
        }
        let most = u32::try_from(MAX_NETWORKS).unwrap();
        for number in 1..most {
            throttle.failed(network(number), now);
        }
        assert!(throttle.check(network(0), now).is_err(), "there is room for all");
        throttle.failed(network(0), now);
        for number in most..most * 3 {
            throttle.failed(network(number), now);
        }
        let table = throttle.table();
        assert_eq!((table.networks.len(), table.by_age.len()), (MAX_NETWORKS, MAX_NETWORKS));
        assert!(!table.networks.contains_key(&network(0)), "the oldest went");
        assert!(table.networks.contains_key(&network(most * 3 - 1)));
    }

    #[test]
    fn one_machine_is_one_network() {
        let of = |text: &str| ClientNetwork::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.2"), of("192.0.2.1"));
        assert_eq!(of("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
    }
}
