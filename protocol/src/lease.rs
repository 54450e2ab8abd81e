use std::{fmt, time::Duration};

/// How long a session lives without attesting again: 30 to 600 whole seconds.
///
/// Twice the attestation interval (15 to 300 s), so that a client that attests
/// at half its lease has one interval left to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease(u16);

impl Lease {
    /// The shortest lease: two intervals of 15 s.
    pub const MIN: Self = Self(30);
    /// The longest lease: two intervals of 300 s.
    pub const MAX: Self = Self(600);

    /// A lease of whole seconds.
    ///
    /// # Errors
    /// [`LeaseError`] outside 30 to 600.
    pub fn from_secs(seconds: u64) -> Result<Self, LeaseError> {
        bounded(seconds, "lease", Self::MIN.0, Self::MAX.0).map(Self)
    }

    /// Whole seconds.
    pub fn as_secs(self) -> u64 {
        u64::from(self.0)
    }

    /// The same as a [`Duration`].
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.as_secs())
    }
}

/// How often an enclave attests again: 15 to 300 whole seconds, 15 by default
/// (OBLV `proxyAttestationIntervalSeconds`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(u16);

impl Interval {
    /// The shortest, and the default.
    pub const MIN: Self = Self(15);
    /// The longest.
    pub const MAX: Self = Self(300);

    /// An interval of whole seconds.
    ///
    /// # Errors
    /// [`LeaseError`] outside 15 to 300.
    pub fn from_secs(seconds: u64) -> Result<Self, LeaseError> {
        bounded(seconds, "attestation interval", Self::MIN.0, Self::MAX.0).map(Self)
    }

    /// The lease to ask for: two intervals.
    pub fn lease(self) -> Lease {
        Lease(self.0 * 2)
    }

    /// The same as a [`Duration`].
    pub fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }
}

impl Default for Interval {
    fn default() -> Self {
        Self::MIN
    }
}

/// The leases a workload may be given; the proxy says them with the challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseBounds {
    min: Lease,
    max: Lease,
}

impl LeaseBounds {
    /// Bounds with `min <= max`.
    ///
    /// # Errors
    /// [`LeaseError`] when they are the wrong way round.
    pub fn new(min: Lease, max: Lease) -> Result<Self, LeaseError> {
        if min > max {
            return Err(LeaseError {
                what: "smallest lease",
                value: min.as_secs(),
                min: Lease::MIN.as_secs(),
                max: max.as_secs(),
            });
        }
        Ok(Self { min, max })
    }

    /// The shortest lease given.
    pub fn min(self) -> Lease {
        self.min
    }

    /// The longest lease given.
    pub fn max(self) -> Lease {
        self.max
    }

    /// The lease to give to whoever asked for `wanted`.
    pub fn clamp(self, wanted: Lease) -> Lease {
        wanted.clamp(self.min, self.max)
    }
}

impl Default for LeaseBounds {
    fn default() -> Self {
        Self { min: Lease::MIN, max: Lease::MAX }
    }
}

/// A number of seconds out of its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseError {
    what: &'static str,
    value: u64,
    min: u64,
    max: u64,
}

impl fmt::Display for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, value, min, max } = self;
        write!(f, "{what} of {value} s is outside {min} to {max} s")
    }
}

impl std::error::Error for LeaseError {}

fn bounded(seconds: u64, what: &'static str, min: u16, max: u16) -> Result<u16, LeaseError> {
    match u16::try_from(seconds) {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(LeaseError { what, value: seconds, min: min.into(), max: max.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_end_at_their_bounds() {
        assert_eq!(Lease::from_secs(30), Ok(Lease::MIN));
        assert_eq!(Lease::from_secs(600), Ok(Lease::MAX));
        for seconds in [0, 29, 601, 65_566, u64::MAX] {
            let error = Lease::from_secs(seconds).unwrap_err();
            assert_eq!(error.to_string(), format!("lease of {seconds} s is outside 30 to 600 s"));
        }
    }

    #[test]
    fn an_interval_asks_for_twice_its_length() {
        assert_eq!(Interval::default().lease(), Lease::MIN);
        assert_eq!(Interval::from_secs(300).unwrap().lease(), Lease::MAX);
        assert!(Interval::from_secs(14).is_err());
        assert!(Interval::from_secs(301).is_err());
    }

    #[test]
    fn bounds_clamp_and_refuse_to_stand_the_wrong_way_round() {
        let lease = |seconds| Lease::from_secs(seconds).unwrap();
        let bounds = LeaseBounds::new(lease(40), lease(60)).unwrap();
        assert_eq!(bounds.clamp(lease(30)), lease(40));
        assert_eq!(bounds.clamp(lease(50)), lease(50));
        assert_eq!(bounds.clamp(lease(600)), lease(60));
        assert!(LeaseBounds::new(lease(60), lease(40)).is_err());
    }
}
