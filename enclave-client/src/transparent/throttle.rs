use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets log lines pass at a bounded rate, and counts those it held back: a
/// program that asks for a denied name in a loop must not fill the log.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    window: Option<Instant>,
    passed: u32,
    held_back: u64,
}

impl Throttle {
    /// `Some` when a line may be written: how many were held back since the last one.
    pub(super) fn pass(&self, now: Instant) -> Option<u64> {
        // The state is whole between any two statements.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.window.is_none_or(|start| now.saturating_duration_since(start) >= WINDOW) {
            state.window = Some(now);
            state.passed = 0;
        }
        if state.passed == LINES {
            state.held_back += 1;
            return None;
        }
        state.passed += 1;
        Some(std::mem::take(&mut state.held_back))
    }
}

const WINDOW: Duration = Duration::from_secs(10);

/// In a window.
const LINES: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_told_once() {
        let throttle = Throttle::default();
        let start = Instant::now();
        for _ in 0..LINES {
            assert_eq!(throttle.pass(start), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(throttle.pass(start + WINDOW - Duration::from_millis(1)), None);
        }
        assert_eq!(throttle.pass(start + WINDOW), Some(1000));
        assert_eq!(throttle.pass(start + WINDOW), Some(0));
    }
}
