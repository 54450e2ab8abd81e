use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets log lines pass at a bounded rate, and counts those it held back: a
/// program that asks for what is denied in a loop must not fill the log.
#[derive(Debug)]
pub(crate) struct Throttle {
    lines: u32,
    window: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    window: Option<Instant>,
    passed: u32,
    held_back: u64,
}

impl Throttle {
    /// So many lines in each window.
    pub(crate) fn new(lines: u32, window: Duration) -> Self {
        Self { lines, window, state: Mutex::default() }
    }

    /// `Some` when a line may be written: how many were held back since the last one.
    pub(crate) fn pass(&self, now: Instant) -> Option<u64> {
        // The state is whole between any two statements.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.window.is_none_or(|start| now.saturating_duration_since(start) >= self.window) {
            state.window = Some(now);
            state.passed = 0;
        }
        if state.passed == self.lines {
            state.held_back += 1;
            return None;
        }
        state.passed += 1;
        Some(std::mem::take(&mut state.held_back))
    }
}

/// 20 lines in 10 seconds.
impl Default for Throttle {
    fn default() -> Self {
        Self::new(20, Duration::from_secs(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_told_once() {
        const WINDOW: Duration = Duration::from_secs(10);
        let throttle = Throttle::new(20, WINDOW);
        let start = Instant::now();
        for _ in 0..20 {
            assert_eq!(throttle.pass(start), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(throttle.pass(start + WINDOW - Duration::from_millis(1)), None);
        }
        assert_eq!(throttle.pass(start + WINDOW), Some(1000));
        assert_eq!(throttle.pass(start + WINDOW), Some(0));
    }
}
