use std::{
    fmt::Debug,
    time::{Duration, SystemTime},
};

use prost::Message;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use super::{encode, send::Delivery, settings::Resource};
use crate::{metrics::Source, queue::Queue};

/// Sends what waits: whole batches at once, less than that after [`LINGER`]; all of it
/// when it is to stop.
pub(super) async fn drain<T, M: Message + Default + Debug>(
    queue: &Queue<T>,
    encode: impl Fn(T) -> M,
    resource: &Resource,
    mut delivery: Delivery,
    stopping: &CancellationToken,
) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = sleep(LINGER) => {}
            () = queue.batch_waits() => {}
        }
        let last = stopping.is_cancelled();
        loop {
            let batch = queue.take();
            if batch.is_empty() {
                break;
            }
            let items = batch.len() as u64;
            let body = encode::request(resource, batch.into_iter().map(&encode).collect());
            delivery.deliver(body, items, PATIENCE).await;
        }
        if last {
            return;
        }
    }
}

/// Reads and sends all figures every interval, and once more when it is to stop.
pub(super) async fn measure(
    figures: impl Source,
    every: Duration,
    resource: &Resource,
    mut delivery: Delivery,
    stopping: &CancellationToken,
) {
    let began = SystemTime::now();
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => {}
            _ = ticks.tick() => {}
        }
        let last = stopping.is_cancelled();
        let read = figures.read();
        let points = read.iter().map(encode::points).sum::<usize>() as u64;
        if points > 0 {
            let now = SystemTime::now();
            let metrics = read.into_iter().map(|metric| encode::metric(metric, began, now)).collect();
            // The next reading says all that this one does.
            delivery.deliver(encode::request(resource, metrics), points, every.min(PATIENCE)).await;
        }
        if last {
            return;
        }
    }
}

/// How long something waits for company.
const LINGER: Duration = Duration::from_secs(1);

/// How long a batch is tried.
const PATIENCE: Duration = Duration::from_secs(60);
