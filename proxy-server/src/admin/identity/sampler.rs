use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{ClientNetwork, Subject};

/// Hears of failed logins, for the audit.
pub trait FailedLogins: Send + Sync {
    /// A login failed. Must not wait. Called about once a second at most over
    /// any longer time; what was left out is counted in
    /// [`FailedLogin::unreported`].
    fn failed(&self, failure: FailedLogin);
}

/// One failed login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedLogin {
    /// From where.
    pub network: ClientNetwork,
    /// Why: [`super::AuthError::code`].
    pub code: &'static str,
    /// Whose credentials they were, when that is known: a token that expired or was revoked.
    pub subject: Option<Subject>,
    /// How many of this network failed in a row, this one included.
    pub failures: u32,
    /// How many failed anywhere and were not reported since the last report,
    /// those refused by the throttle included.
    pub unreported: u64,
}

/// Decides which failed logins are reported: of one network the first and then
/// at each doubling; of all together [`BURST`] at once and one a second.
/// Strangers must not be able to fill the audit.
pub(super) struct Sampler(Mutex<Bucket>);

struct Bucket {
    /// Reports that may be made now.
    reports: u32,
    filled: Instant,
    unreported: u64,
}

impl Sampler {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Bucket { reports: BURST, filled: now, unreported: 0 }))
    }

    /// Whether to report this one; if so, how many were not since the last report.
    pub(super) fn sample(&self, failures: u32, now: Instant) -> Option<u64> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.fill(now);
        if !failures.is_power_of_two() || bucket.reports == 0 {
            bucket.unreported += 1;
            return None;
        }
        bucket.reports -= 1;
        Some(std::mem::take(&mut bucket.unreported))
    }

    /// One that is never reported by itself.
    pub(super) fn skip(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unreported += 1;
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let whole = now.saturating_duration_since(self.filled).as_secs();
        self.filled += Duration::from_secs(whole);
        self.reports = self.reports.saturating_add(u32::try_from(whole).unwrap_or(u32::MAX)).min(BURST);
    }
}

/// The most reports at once.
pub(super) const BURST: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_is_reported_at_each_doubling() {
        let now = Instant::now();
        let sampler = Sampler::new(now);
        let reported: Vec<_> = (1..=20).filter_map(|n| Some((n, sampler.sample(n, now)?))).collect();
        assert_eq!(reported, [(1, 0), (2, 0), (4, 1), (8, 3), (16, 7)]);
        sampler.skip();
        assert_eq!(sampler.sample(32, now), Some(5));
    }

    #[test]
    fn many_networks_do_not_fill_the_audit() {
        let now = Instant::now();
        let sampler = Sampler::new(now);
        let reports = |moment| (0..10_000).filter(|_| sampler.sample(1, moment).is_some()).count();
        assert_eq!(reports(now), 20);
        assert_eq!(reports(now + Duration::from_millis(999)), 0);
        assert_eq!(reports(now + Duration::from_secs(3)), 3);
        assert_eq!(reports(now + Duration::from_secs(3_600)), 20);
        let after = sampler.sample(1, now + Duration::from_secs(3_601));
        assert_eq!(after, Some(9_980), "none is lost");
    }
}
