use std::{
    collections::HashMap,
    future::Future,
    num::NonZeroU64,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::policy::{Workload, WorkloadName};

/// The buckets of the workloads that have one, as long as a tunnel holds it.
#[derive(Default)]
pub(in crate::gateway) struct Rates(Mutex<HashMap<WorkloadName, Weak<Bucket>>>);

impl Rates {
    /// What a new tunnel of this workload must keep to; `None` is no limit. A
    /// rate that changed holds from now on for the tunnels that stand, too.
    pub(in crate::gateway) fn of(&self, workload: &Workload) -> Option<Meters> {
        let rate = workload.limits.max_bytes_per_second?;
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = buckets.get(&workload.name).and_then(Weak::upgrade);
        let bucket = standing.unwrap_or_else(|| {
            buckets.retain(|_, bucket| bucket.strong_count() > 0);
            let bucket = Arc::new(Bucket::new(rate));
            buckets.insert(workload.name.clone(), Arc::downgrade(&bucket));
            bucket
        });
        bucket.flow().rate = rate;
        let meter = || Meter { bucket: Arc::clone(&bucket), turn: None };
        Some(Meters { up: meter(), down: meter() })
    }
}

/// Both directions of one tunnel.
pub(crate) struct Meters {
    pub(super) up: Meter,
    pub(super) down: Meter,
}

/// One direction of one tunnel: it asks for a turn before it moves bytes and says
/// afterwards how many they were.
pub(crate) struct Meter {
    bucket: Arc<Bucket>,
    turn: Option<Turn>,
}

/// Leave to move some bytes, from a moment on.
struct Turn {
    bytes: usize,
    /// `None` once the moment has come.
    wait: Option<Pin<Box<Sleep>>>,
}

impl Meter {
    /// Waits for a turn of up to `most` bytes, one at the least; how many it is.
    /// Asked again before [`Self::moved`], it is the same turn.
    ///
    /// Ask when there is something to move: a turn is taken from all others.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<usize> {
        let Self { bucket, turn } = self;
        let turn = turn.get_or_insert_with(|| bucket.reserve(most, Instant::now()));
        if let Some(wait) = &mut turn.wait {
            ready!(wait.as_mut().poll(cx));
            turn.wait = None;
        }
        Poll::Ready(turn.bytes)
    }

    /// Ends the turn: so many bytes moved. More than it had are paid for by the next
    /// ones, all of them if there was no turn.
    pub(super) fn moved(&mut self, bytes: usize) {
        let reserved = self.turn.take().map_or(0, |turn| turn.bytes);
        if reserved != bytes {
            self.bucket.settle(reserved, bytes);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.moved(0);
    }
}

/// A token bucket, kept as the moment at which everything handed out is paid for.
/// So waiting tunnels form a line: each has a moment of its own, and none is
/// woken to find that another took what it waited for.
struct Bucket(Mutex<Flow>);

struct Flow {
    rate: NonZeroU64,
    paid: Instant,
}

impl Bucket {
    fn new(rate: NonZeroU64) -> Self {
        Self(Mutex::new(Flow { rate, paid: Instant::now() }))
    }

    fn reserve(&self, most: usize, now: Instant) -> Turn {
        let mut flow = self.flow();
        let quantum = usize::try_from(flow.rate.get() / TURNS_PER_SECOND).unwrap_or(usize::MAX);
        let bytes = most.min(quantum.max(SMALLEST)).max(1);
        // What nobody used is worth BURST and no more.
        let start = now.checked_sub(BURST).map_or(flow.paid, |earliest| flow.paid.max(earliest));
        flow.paid = start + flow.time_of(bytes);
        let wait = (start > now).then(|| Box::pin(sleep_until(start)));
        Turn { bytes, wait }
    }

    fn settle(&self, reserved: usize, moved: usize) {
        let mut flow = self.flow();
        let paid = match reserved.checked_sub(moved) {
            Some(unused) => flow.paid.checked_sub(flow.time_of(unused)),
            None => flow.paid.checked_add(flow.time_of(moved - reserved)),
        };
        flow.paid = paid.unwrap_or(flow.paid);
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flow {
    /// How long the rate takes for so many bytes.
    fn time_of(&self, bytes: usize) -> Duration {
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.rate.get());
        Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX / 2))
    }
}

/// How much of an idle second may be made up for at once.
const BURST: Duration = Duration::from_millis(100);

/// A turn is at most this part of a second's bytes, so that a line of tunnels moves.
const TURNS_PER_SECOND: u64 = 50;

/// No turn is made smaller than a TLS record: it cannot be opened in parts.
const SMALLEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use countersign_protocol::LeaseBounds;
    use tokio::time::sleep;

    use super::*;
    use crate::policy::{Destinations, Limits};

    const RATE: u64 = 1_000_000;

    #[tokio::test(start_paused = true)]
    async fn all_tunnels_together_keep_to_the_rate() {
        let rates = Rates::default();
        let start = Instant::now();
        let mut tunnels = Vec::new();
        for _ in 0..10 {
            let Meters { mut up, mut down } = rates.of(&workload(RATE)).unwrap();
            tunnels.push(tokio::spawn(async move {
                for _ in 0..50 {
                    for meter in [&mut up, &mut down] {
                        let turn = poll_fn(|cx| meter.poll_turn(cx, 10_000)).await;
                        assert_eq!(turn, 10_000);
                        meter.moved(turn);
                    }
                }
            }));
        }
        for tunnel in tunnels {
            tunnel.await.unwrap();
        }
        // Ten million bytes: the last turn begins when all others are paid for.
        // A new bucket has saved nothing up.
        let expected = Duration::from_millis(10_000 - 10);
        let took = start.elapsed();
        assert!(took >= expected && took <= expected + TICK, "{took:?}, expected {expected:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_moved_is_given_back_and_more_is_paid_for() {
        let rates = Rates::default();
        let mut meters = rates.of(&workload(RATE)).unwrap();
        // Nothing of ten turns is used: the eleventh does not wait.
        for _ in 0..10 {
            assert_eq!(now(&mut meters.up, 20_000), Some(20_000));
            meters.up.moved(0);
        }
        assert_eq!(now(&mut meters.up, 20_000), Some(20_000));
        meters.up.moved(1_000_000);
        assert_eq!(now(&mut meters.down, 1), None);
        sleep(Duration::from_millis(1_000)).await;
        assert_eq!(now(&mut meters.down, 1), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_bucket_saves_up_a_tenth_of_a_second() {
        let rates = Rates::default();
        let mut meters = rates.of(&workload(RATE)).unwrap();
        sleep(Duration::from_secs(3600)).await;
        let mut moved = 0;
        while let Some(turn) = now(&mut meters.up, 10_000) {
            meters.up.moved(turn);
            moved += turn;
        }
        // One turn begins at the very moment when the savings are spent.
        assert_eq!(moved, 100_000 + 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_waits_is_given_back_with_its_tunnel() {
        let rates = Rates::default();
        let (mut one, mut other) = (rates.of(&workload(RATE)).unwrap(), rates.of(&workload(RATE)).unwrap());
        assert_eq!(now(&mut one.up, 1), Some(1));
        one.up.moved(100_000);
        assert_eq!(now(&mut one.up, 20_000), None);
        drop(one);
        sleep(Duration::from_millis(101)).await;
        assert_eq!(now(&mut other.up, 20_000), Some(20_000));
    }

    #[tokio::test(start_paused = true)]
    async fn each_workload_has_a_bucket_while_it_has_tunnels() {
        let rates = Rates::default();
        let unlimited = Workload { limits: Limits::default(), ..workload(RATE) };
        assert!(rates.of(&unlimited).is_none());
        let mut first = rates.of(&workload(RATE)).unwrap();
        let second = rates.of(&workload(2 * RATE)).unwrap();
        assert!(Arc::ptr_eq(&first.up.bucket, &second.down.bucket));
        assert_eq!(first.up.bucket.flow().rate.get(), 2 * RATE, "the new rate is everybody's");
        assert_eq!(now(&mut first.up, usize::MAX), Some(2 * RATE as usize / 50));
        let other = Workload { name: "other".parse().unwrap(), ..workload(RATE) };
        let other = rates.of(&other).unwrap();
        assert!(!Arc::ptr_eq(&first.up.bucket, &other.up.bucket));
        drop((first, second));
        let third = Workload { name: "third".parse().unwrap(), ..workload(RATE) };
        let _third = rates.of(&third).unwrap();
        assert_eq!(rates.0.lock().unwrap().len(), 2, "a bucket that nobody holds is forgotten");
    }

    fn now(meter: &mut Meter, most: usize) -> Option<usize> {
        match meter.poll_turn(&mut Context::from_waker(std::task::Waker::noop()), most) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn workload(rate: u64) -> Workload {
        Workload {
            name: "demo".parse().unwrap(),
            destinations: Destinations::default(),
            addresses: Vec::new(),
            lease_bounds: LeaseBounds::default(),
            limits: Limits { max_bytes_per_second: NonZeroU64::new(rate), ..Limits::default() },
        }
    }

    /// Timers are rounded up to a millisecond.
    const TICK: Duration = Duration::from_millis(1);
}
