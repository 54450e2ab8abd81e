use std::{
    array, fmt,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// How long things took since somebody looked. Noting one is one addition without
/// a lock; what is read is forgotten.
///
/// Eight buckets for each doubling, so that what is told is at most an eighth
/// more than it was, and never less.
pub(super) struct Latencies([AtomicU32; BUCKETS]);

/// What half of them took at most, and what all but one in a hundred did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
}

impl Latencies {
    /// One more.
    pub(super) fn note(&self, took: Duration) {
        if let Some(bucket) = self.0.get(bucket(took)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Of all since the last look; `None` when there was nothing.
    pub(super) fn take(&self) -> Option<Spread> {
        let counts: Vec<u64> = self.0.iter().map(|count| count.swap(0, Ordering::Relaxed).into()).collect();
        let all: u64 = counts.iter().sum();
        Some(Spread {
            p50: within(&counts, all.div_ceil(2))?,
            p99: within(&counts, (all * 99).div_ceil(100))?,
        })
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self(array::from_fn(|_| AtomicU32::new(0)))
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Latencies(…)")
    }
}

/// What so many of them took at most.
fn within(counts: &[u64], rank: u64) -> Option<Duration> {
    let mut seen = 0;
    let reached = |count: &u64| {
        seen += count;
        rank > 0 && seen >= rank
    };
    counts.iter().position(reached).map(longest)
}

/// Below [`PARTS`] µs each has its own; above, the highest bits choose.
fn bucket(took: Duration) -> usize {
    let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
    match micros.checked_ilog2() {
        Some(doubling) if doubling >= PARTS_LOG2 => {
            let shift = doubling - PARTS_LOG2;
            // Between PARTS and 2 * PARTS - 1: the highest four bits.
            let high = micros >> shift;
            (shift * PARTS + high) as usize
        }
        _ => micros as usize,
    }
}

/// The longest that falls into a bucket.
fn longest(bucket: usize) -> Duration {
    let parts = PARTS as usize;
    let micros = match bucket.checked_sub(parts) {
        None => bucket as u64,
        Some(above) => {
            let (shift, high) = (above / parts, above % parts + parts);
            ((high as u64 + 1) << shift) - 1
        }
    };
    Duration::from_micros(micros)
}

const PARTS_LOG2: u32 = 3;
const PARTS: u32 = 1 << PARTS_LOG2;

/// For all that fits 32 bits of microseconds, which is more than an hour.
const BUCKETS: usize = ((32 - PARTS_LOG2 + 1) * PARTS) as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_at_most_an_eighth_more() {
        for micros in
            (0..200_u64).chain((0..32).map(|bit| 1 << bit)).chain([12_345, 999_999, u64::from(u32::MAX)])
        {
            let took = Duration::from_micros(micros);
            let told = longest(bucket(took)).as_micros() as u64;
            assert!(
                bucket(took) < BUCKETS && told >= micros && told <= micros + micros / 8,
                "{micros} {told}"
            );
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_look_tells_of_what_came_since_the_last() {
        let latencies = Latencies::default();
        assert_eq!(latencies.take(), None);
        (0..99).for_each(|_| latencies.note(Duration::from_micros(7)));
        latencies.note(Duration::from_micros(5));
        latencies.note(Duration::from_secs(1));
        let spread = latencies.take().unwrap();
        assert_eq!((spread.p50.as_micros(), spread.p99.as_micros()), (7, 7));
        assert_eq!(latencies.take(), None, "forgotten");
        latencies.note(Duration::from_secs(1));
        let spread = latencies.take().unwrap();
        assert_eq!(spread.p50, spread.p99);
        assert!(spread.p99 >= Duration::from_secs(1) && spread.p99 < Duration::from_millis(1125));
    }
}
