use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use crate::{
    ca::SessionCa,
    policy::{Freshness, PolicyHandle},
    store::UnixMs,
};

/// Whether this process can do its work. Cheap to clone; asked by whoever asks `/readyz`.
#[derive(Clone)]
pub struct Health(Arc<Parts>);

struct Parts {
    policy: PolicyHandle,
    /// `None` where nothing is issued: commands, and tests of the admin port alone.
    ca: Option<Arc<SessionCa>>,
    stopping: CancellationToken,
    /// The latest time that the clock is known to have passed. Milliseconds since 1970.
    passed: AtomicI64,
}

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It admits.
    Ready,
    /// It runs, and a [`Check`] says why nothing new should be sent to it.
    NotReady,
    /// It was told to stop: open tunnels may finish, nothing new is opened.
    Draining,
}

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is looked at.
    pub name: CheckName,
    /// How it is, or what is wrong.
    pub found: Result<String, String>,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckName {
    /// The store answered lately.
    Store,
    /// Session certificates can be issued for some time to come.
    SessionCa,
    /// The clock did not go back.
    Clock,
}

impl Health {
    /// Judged by these. `passed` is a time that is over, by the store; `stopping` is
    /// cancelled when nothing new is to be opened.
    pub fn new(
        policy: PolicyHandle,
        ca: Option<Arc<SessionCa>>,
        passed: UnixMs,
        stopping: CancellationToken,
    ) -> Self {
        Self(Arc::new(Parts { policy, ca, stopping, passed: AtomicI64::new(passed.0) }))
    }

    /// Of a process that only has a policy.
    pub fn of_policy(policy: PolicyHandle) -> Self {
        Self::new(policy, None, UnixMs::now(), CancellationToken::new())
    }

    /// How it stands.
    pub fn state(&self, now: UnixMs) -> State {
        if self.0.stopping.is_cancelled() {
            return State::Draining;
        }
        if self.checks(now).iter().all(|check| check.found.is_ok()) { State::Ready } else { State::NotReady }
    }

    /// Everything that must hold, and whether it does.
    pub fn checks(&self, now: UnixMs) -> Vec<Check> {
        let check = |name, found| Check { name, found };
        vec![
            check(CheckName::Store, self.store()),
            check(CheckName::SessionCa, self.session_ca(now)),
            check(CheckName::Clock, self.clock(now)),
        ]
    }

    /// Until when session certificates can be issued; `None` where none are.
    pub fn issues_until(&self) -> Option<UnixMs> {
        let ends = self.0.ca.as_ref()?.ends();
        Some(UnixMs(ends.unix_timestamp().saturating_mul(1000)))
    }

    fn store(&self) -> Result<String, String> {
        let silent = self.0.policy.silent_for().as_secs_f64();
        match self.0.policy.freshness() {
            Freshness::Fresh => Ok(format!("answered {silent:.1} s ago")),
            Freshness::Stale => Err(format!("has not answered for {silent:.1} s: nothing new is admitted")),
        }
    }

    fn session_ca(&self, now: UnixMs) -> Result<String, String> {
        let Some(until) = self.issues_until() else { return Ok("nothing is issued here".to_owned()) };
        let left = Duration::from_millis(until.since(now));
        if left < LONGEST_LEASE {
            return Err(format!("its issuer ends {until}, before a lease given now: the rotation fails"));
        }
        Ok(format!("issues until {until}"))
    }

    /// A clock that went back takes old documents for new ones, and leases for longer than they are.
    fn clock(&self, now: UnixMs) -> Result<String, String> {
        let passed = UnixMs(self.0.passed.fetch_max(now.0, Ordering::AcqRel));
        let behind = Duration::from_millis(passed.since(now));
        if behind > TOLERATED {
            return Err(format!("says {now}, and {passed} is over already"));
        }
        Ok(format!("says {now}"))
    }
}

impl State {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not-ready",
            Self::Draining => "draining",
        }
    }
}

impl CheckName {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::SessionCa => "session-ca",
            Self::Clock => "clock",
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.state(UnixMs::now())).finish()
    }
}

/// A certificate never outlives its issuer, and no lease is longer.
const LONGEST_LEASE: Duration = Duration::from_secs(600);

/// Clocks that are corrected go back a little.
const TOLERATED: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn found(health: &Health, now: UnixMs, name: CheckName) -> Result<String, String> {
        health.checks(now).into_iter().find(|check| check.name == name).unwrap().found
    }

    #[tokio::test(start_paused = true)]
    async fn each_check_fails_by_itself_and_a_stop_is_said_first() {
        let stopping = CancellationToken::new();
        let policy = PolicyHandle::new(Policy::default());
        let now = UnixMs(1_800_000_000_000);
        let health = Health::new(policy.clone(), None, now, stopping.clone());
        assert_eq!(health.state(now), State::Ready);

        assert_eq!(health.state(UnixMs(now.0 - 60_000)), State::Ready, "a correction");
        assert_eq!(
            found(&health, UnixMs(now.0 - 60_001), CheckName::Clock),
            Err("says 2027-01-15T07:58:59.999Z, and 2027-01-15T08:00:00.000Z is over already".to_owned())
        );
        assert_eq!(health.state(UnixMs(now.0 + 60_000)), State::Ready);
        assert_eq!(health.state(now), State::Ready, "60 s are tolerated");
        assert_eq!(health.state(UnixMs(now.0 - 1)), State::NotReady, "a time that was seen is over");

        tokio::time::advance(Duration::from_millis(2500)).await;
        assert_eq!(
            found(&health, now, CheckName::Store),
            Err("has not answered for 2.5 s: nothing new is admitted".to_owned())
        );
        stopping.cancel();
        assert_eq!(health.state(now), State::Draining);
    }

    #[tokio::test(start_paused = true)]
    async fn an_issuer_that_ends_before_a_lease_does_is_not_enough() {
        let directory = tempdir();
        let made = time::OffsetDateTime::now_utc();
        let ca = Arc::new(SessionCa::open(&directory, made).unwrap());
        let now = UnixMs::now();
        let health =
            Health::new(PolicyHandle::new(Policy::default()), Some(ca), now, CancellationToken::new());
        let until = health.issues_until().unwrap();
        assert!(found(&health, UnixMs(until.0 - 600_000), CheckName::SessionCa).is_ok());
        assert!(found(&health, UnixMs(until.0 - 599_999), CheckName::SessionCa).is_err());
        std::fs::remove_dir_all(directory).unwrap();
    }

    fn tempdir() -> std::path::PathBuf {
        let directory = std::env::temp_dir().join(format!("countersign-health-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }
}
