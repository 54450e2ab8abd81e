//! When to attest again. Pure: randomness is an argument.

use std::time::Duration;

use countersign_protocol::{Interval, Lease};

use crate::random::Fraction;

/// How long after a grant to attest again: half the lease, or the interval if
/// that is shorter, ±10 % so that enclaves started together drift apart.
pub fn renew_after(lease: Lease, interval: Interval, jitter: Fraction) -> Duration {
    let half = lease.duration() / 2;
    half.min(interval.duration()).mul_f64(0.9 + 0.2 * jitter.get())
}

/// Exponential backoff with full jitter: after the n-th failure in a row a
/// random wait between [`Backoff::FLOOR`] and `BASE · 2ⁿ`, at most [`Backoff::CAP`].
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The least wait: never a busy loop, whatever the jitter.
    pub const FLOOR: Duration = Duration::from_millis(100);
    /// The widest wait of the first failure.
    pub const BASE: Duration = Duration::from_millis(500);
    /// The widest wait of any failure.
    pub const CAP: Duration = Duration::from_secs(30);

    /// The wait after one more failure.
    pub fn fail(&mut self, jitter: Fraction) -> Duration {
        let factor = 1 << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let widest = (Self::BASE * factor).min(Self::CAP);
        Self::FLOOR + (widest - Self::FLOOR).mul_f64(jitter.get())
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// The order of one round: the resolver's, from the `start`-th on and round again,
/// so that a round that failed at one address begins with the next.
pub fn rotate<T>(mut addresses: Vec<T>, start: usize) -> Vec<T> {
    if !addresses.is_empty() {
        let middle = start % addresses.len();
        addresses.rotate_left(middle);
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_at_half_the_lease_ten_percent_either_way() {
        let after = |lease, interval, jitter| {
            let lease = Lease::from_secs(lease).unwrap();
            let interval = Interval::from_secs(interval).unwrap();
            renew_after(lease, interval, jitter)
        };
        assert_eq!(after(30, 15, Fraction::ZERO), Duration::from_millis(13_500));
        assert_eq!(after(30, 15, Fraction::ONE), Duration::from_millis(16_500));
        // The proxy gave less than was asked for: its lease counts.
        assert_eq!(after(60, 300, Fraction::ZERO), Duration::from_secs(27));
        // It gave more: the interval that the manifest promises counts.
        assert_eq!(after(600, 15, Fraction::ONE), Duration::from_millis(16_500));
        for _ in 0..1000 {
            let wait = after(30, 15, Fraction::random());
            assert!((Duration::from_millis(13_500)..=Duration::from_millis(16_500)).contains(&wait));
        }
    }

    #[test]
    fn backoff_doubles_to_its_cap_and_starts_anew() {
        let mut backoff = Backoff::default();
        let widest: Vec<_> = (0..9).map(|_| backoff.fail(Fraction::ONE).as_millis()).collect();
        assert_eq!(widest, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(backoff.fail(Fraction::ZERO), Backoff::FLOOR);
        backoff.failures = u32::MAX;
        assert_eq!(backoff.fail(Fraction::ONE), Backoff::CAP);
        backoff.reset();
        assert_eq!(backoff.fail(Fraction::ONE), Backoff::BASE);
    }

    #[test]
    fn every_address_has_its_turn_at_the_front() {
        assert_eq!(rotate(vec![1, 2, 3], 0), [1, 2, 3]);
        assert_eq!(rotate(vec![1, 2, 3], 2), [3, 1, 2]);
        assert_eq!(rotate(vec![1, 2, 3], usize::MAX), rotate(vec![1, 2, 3], usize::MAX % 3));
        assert!(rotate(Vec::<u8>::new(), 5).is_empty());
    }
}
