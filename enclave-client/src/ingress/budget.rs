use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How often something may be done: a token bucket.
#[derive(Debug)]
pub(crate) struct Budget {
    every: Duration,
    burst: u32,
    /// When the bucket is full again if nothing more is taken (generic cell rate algorithm).
    full_at: Mutex<Instant>,
}

impl Budget {
    /// One token each `every`, at most `burst` kept.
    pub(crate) fn new(every: Duration, burst: u32) -> Self {
        Self { every, burst, full_at: Mutex::new(Instant::now()) }
    }

    /// Takes a token at `now`, if there is one.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*full_at).max(now) + self.every;
        let allowed = next.duration_since(now) <= self.every * self.burst;
        if allowed {
            *full_at = next;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_then_one_at_a_time() {
        let budget = Budget::new(Duration::from_millis(100), 3);
        let taken = |n: usize| (0..n).filter(|_| budget.take(Instant::now())).count();
        assert_eq!(taken(10), 3);
        tokio::time::advance(Duration::from_millis(99)).await;
        assert_eq!(taken(10), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(taken(10), 1);
        // However long nobody asked, no more than the burst is kept.
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(taken(10), 3);
    }
}
