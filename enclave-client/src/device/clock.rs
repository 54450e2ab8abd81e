use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::ValueEnum;
use rustix::time::{ClockId, Timespec, clock_settime};
use tracing::{info, warn};

/// What to do with a clock that is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ClockPolicy {
    /// Say so in the log
    #[default]
    Check,
    /// Set it to the time of the device's documents; needs the right to
    Set,
}

/// The clock of this machine, so that tests have one of their own.
pub(super) trait WallClock: Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
    /// Sets it.
    fn set_ms(&self, to: u64) -> std::io::Result<()>;
}

/// Compares the clock with the timestamps of the device's documents.
///
/// An enclave has no time server that it could believe, and its clock drifts;
/// the NSM's timestamp is the one time that the host cannot touch. Leases are
/// counted by the monotonic clock and depend on none of this; certificates of
/// the outside world do.
pub struct Clock {
    wall: Box<dyn WallClock>,
    policy: ClockPolicy,
    off: AtomicBool,
    offset_ms: Mutex<Option<i64>>,
}

impl Clock {
    /// The system's clock.
    pub(super) fn new(policy: ClockPolicy) -> Self {
        Self::of(Box::new(System), policy)
    }

    fn of(wall: Box<dyn WallClock>, policy: ClockPolicy) -> Self {
        Self { wall, policy, off: AtomicBool::new(false), offset_ms: Mutex::new(None) }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.wall.now_ms()
    }

    /// How far the clock was ahead of the last document, in milliseconds: positive if ahead.
    /// `None` before the first one.
    pub fn offset_ms(&self) -> Option<i64> {
        *self.offset_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges a document that was asked for at `asked` and says it was made at `made`.
    pub(super) fn judge(&self, asked: u64, made: u64) {
        let answered = self.wall.now_ms();
        let offset = offset(asked, answered, made);
        *self.offset_ms.lock().unwrap_or_else(PoisonError::into_inner) = Some(offset);
        let off = offset.unsigned_abs() > u64::try_from(TOLERANCE.as_millis()).unwrap_or(u64::MAX);
        let was_off = self.off.swap(off, Ordering::Relaxed);
        match (off, self.policy) {
            (true, ClockPolicy::Set) => self.set(offset, made),
            // One line for each change, not for each attestation.
            (true, ClockPolicy::Check) if !was_off => {
                warn!(code = "clock-off", offset_ms = offset, "the clock is {} of the NSM's", Off(offset));
            }
            (false, ClockPolicy::Check) if was_off => {
                info!(code = "clock-right", offset_ms = offset, "the clock is right again");
            }
            _ => {}
        }
    }

    fn set(&self, offset: i64, made: u64) {
        match self.wall.set_ms(made) {
            Ok(()) => {
                self.off.store(false, Ordering::Relaxed);
                *self.offset_ms.lock().unwrap_or_else(PoisonError::into_inner) = Some(0);
                warn!(
                    code = "clock-set",
                    offset_ms = offset,
                    "the clock was {} of the NSM's and has been set",
                    Off(offset)
                );
            }
            Err(why) => warn!(
                code = "clock-off",
                offset_ms = offset,
                "the clock is {} of the NSM's and cannot be set: {why}",
                Off(offset)
            ),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("policy", &self.policy).field("offset_ms", &self.offset_ms()).finish()
    }
}

/// The least the clock must be wrong by: a document may have been made at any moment between question and answer.
fn offset(asked: u64, answered: u64, made: u64) -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    if made < asked {
        signed(asked - made)
    } else if made > answered {
        -signed(made - answered)
    } else {
        0
    }
}

struct Off(i64);

impl fmt::Display for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = Duration::from_millis(self.0.unsigned_abs());
        write!(f, "{by:?} {}", if self.0 > 0 { "ahead" } else { "behind" })
    }
}

/// This machine's clock, in milliseconds since 1970.
pub(crate) fn system_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

struct System;

impl WallClock for System {
    fn now_ms(&self) -> u64 {
        system_ms()
    }

    fn set_ms(&self, to: u64) -> std::io::Result<()> {
        let seconds = i64::try_from(to / 1000).unwrap_or(i64::MAX);
        // Below 10⁹, which every integer of a Timespec holds.
        let nanoseconds = i32::try_from(to % 1000 * 1_000_000).unwrap_or(0);
        clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() })?;
        Ok(())
    }
}

/// Beyond this, certificates that were just issued start to look wrong.
const TOLERANCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicU64};

    use super::*;

    #[derive(Clone, Default)]
    struct Fake {
        now: Arc<AtomicU64>,
        set: Arc<Mutex<Vec<u64>>>,
    }

    impl WallClock for Fake {
        fn now_ms(&self) -> u64 {
            self.now.load(Ordering::SeqCst)
        }

        fn set_ms(&self, to: u64) -> std::io::Result<()> {
            self.set.lock().unwrap().push(to);
            self.now.store(to, Ordering::SeqCst);
            Ok(())
        }
    }

    fn clock(policy: ClockPolicy) -> (Clock, Fake) {
        let fake = Fake::default();
        fake.now.store(100_000, Ordering::SeqCst);
        (Clock::of(Box::new(fake.clone()), policy), fake)
    }

    #[test]
    fn a_document_made_while_it_was_waited_for_is_right() {
        assert_eq!(offset(10, 20, 10), 0);
        assert_eq!(offset(10, 20, 20), 0);
        assert_eq!(offset(10, 20, 7), 3);
        assert_eq!(offset(10, 20, 25), -5);
        assert_eq!(offset(u64::MAX, u64::MAX, 0), i64::MAX);
    }

    #[test]
    fn checking_touches_nothing() {
        let (clock, fake) = clock(ClockPolicy::Check);
        assert_eq!(clock.offset_ms(), None);
        clock.judge(99_000, 90_000);
        assert_eq!(clock.offset_ms(), Some(9000));
        assert!(fake.set.lock().unwrap().is_empty());
    }

    #[test]
    fn setting_happens_beyond_the_tolerance_only() {
        let (clock, fake) = clock(ClockPolicy::Set);
        clock.judge(99_000, 94_000);
        assert!(fake.set.lock().unwrap().is_empty());
        clock.judge(99_000, 93_999);
        assert_eq!(*fake.set.lock().unwrap(), [93_999]);
        assert_eq!(clock.offset_ms(), Some(0));
        clock.judge(93_999, 99_001);
        assert_eq!(*fake.set.lock().unwrap(), [93_999, 99_001]);
    }

    #[test]
    fn the_log_says_which_way() {
        assert_eq!(Off(5500).to_string(), "5.5s ahead");
        assert_eq!(Off(-90_000).to_string(), "90s behind");
    }
}
