use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

/// What waits to be sent: bounded by number and by memory. Whoever puts something in
/// never waits; when it is full, what comes is dropped and counted.
pub(crate) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    /// Told when a whole batch waits.
    full_batch: Notify,
    bounds: Bounds,
    dropped: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) most: usize,
    /// In bytes, about.
    pub(crate) weight: usize,
    /// What goes in one request.
    pub(crate) batch: usize,
}

struct Waiting<T> {
    items: VecDeque<(T, usize)>,
    weight: usize,
}

#[cfg_attr(not(any(test, feature = "otlp")), allow(dead_code, reason = "there is no exporter"))]
impl<T> Queue<T> {
    /// Empty; what finds no room is counted in `dropped`.
    pub(crate) fn new(bounds: Bounds, dropped: Arc<AtomicU64>) -> Self {
        let waiting = Mutex::new(Waiting { items: VecDeque::new(), weight: 0 });
        Self { waiting, full_batch: Notify::new(), bounds, dropped }
    }

    pub(crate) fn push(&self, item: T, weight: usize) {
        let mut waiting = self.waiting();
        if waiting.items.len() >= self.bounds.most || waiting.weight + weight > self.bounds.weight {
            drop(waiting);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.items.push_back((item, weight));
        waiting.weight += weight;
        if waiting.items.len() == self.bounds.batch {
            drop(waiting);
            self.full_batch.notify_one();
        }
    }

    /// The oldest, up to a batch.
    pub(crate) fn take(&self) -> Vec<T> {
        let mut waiting = self.waiting();
        let taken = waiting.items.len().min(self.bounds.batch);
        let batch: Vec<(T, usize)> = waiting.items.drain(..taken).collect();
        waiting.weight -= batch.iter().map(|(_, weight)| weight).sum::<usize>();
        batch.into_iter().map(|(item, _)| item).collect()
    }

    /// Until a whole batch waits. May return early.
    pub(crate) async fn batch_waits(&self) {
        if self.waiting().items.len() < self.bounds.batch {
            self.full_batch.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> std::fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.waiting().items.len())
    }
}
