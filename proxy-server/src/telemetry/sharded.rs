use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use prometheus_client::metrics::counter::Atomic;

/// A counter that many threads raise at once and somebody reads now and then:
/// each thread has a cache line of its own to write to.
#[derive(Debug, Default)]
pub(super) struct Sharded([Shard; SHARDS]);

/// Two cache lines: x86 fetches them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(AtomicU64);

impl Sharded {
    fn own(&self) -> &AtomicU64 {
        // The remainder is below the length; the first shard stands in for the impossible.
        let [first, ..] = &self.0;
        &self.0.get(OWN.get() % SHARDS).unwrap_or(first).0
    }
}

/// The values given back are those of the thread's own shard: nobody asks for them.
impl Atomic<u64> for Sharded {
    fn inc(&self) -> u64 {
        self.inc_by(1)
    }

    fn inc_by(&self, by: u64) -> u64 {
        self.own().fetch_add(by, Ordering::Relaxed)
    }

    fn get(&self) -> u64 {
        self.0.iter().map(|Shard(shard)| shard.load(Ordering::Relaxed)).sum()
    }
}

thread_local! {
    static OWN: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed));
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

const SHARDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_count_is_all_there() {
        let counter = Sharded::default();
        std::thread::scope(|scope| {
            for _ in 0..SHARDS + 3 {
                scope.spawn(|| {
                    (0..1000).for_each(|_| {
                        let _ = counter.inc_by(2);
                    })
                });
            }
        });
        assert_eq!(counter.get(), 2000 * (SHARDS as u64 + 3));
    }
}
