use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Decision, Metrics, Spread, Telemetry};
use crate::{session::Sessions, store::UnixMs};

/// The last half hour of this process, for whoever has no Prometheus at hand.
#[derive(Debug, Default)]
pub struct History(Mutex<VecDeque<Point>>);

/// One look. Counts go on from the start of the process: what happened between two
/// looks is their difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub at: UnixMs,
    /// New sessions so far.
    pub admitted: u64,
    /// Renewals so far.
    pub renewed: u64,
    /// Refusals so far.
    pub refused: u64,
    /// Bytes through tunnels so far, both ways.
    pub bytes: u64,
    /// Live sessions.
    pub sessions: u64,
    /// Open tunnels.
    pub tunnels: u64,
    /// How long the renewals since the point before took, from a whole request to the
    /// decision; `None` when there was none.
    pub renewals: Option<Spread>,
}

impl Point {
    /// How it is now. Renewals that it tells of are told of once.
    fn look(metrics: &Metrics, sessions: &Sessions) -> Self {
        let census = sessions.census();
        let (up, down) = metrics.gateway.bytes();
        Self {
            at: UnixMs::now(),
            admitted: metrics.attestation.count(Decision::Admitted),
            renewed: metrics.attestation.count(Decision::Renewed),
            refused: metrics.attestation.refusals().values().sum(),
            bytes: up.saturating_add(down),
            sessions: census.sessions,
            tunnels: census.tunnels,
            renewals: metrics.attestation.take_renewals(),
        }
    }
}

impl History {
    /// How long a point is kept, and how many there are.
    pub const KEPT: usize = 360;

    /// Between two points.
    pub const EVERY: Duration = Duration::from_secs(5);

    /// Every point, oldest first.
    pub fn points(&self) -> Vec<Point> {
        self.held().iter().copied().collect()
    }

    fn note(&self, point: Point) {
        let mut points = self.held();
        if points.len() >= Self::KEPT {
            let _ = points.pop_front();
        }
        points.push_back(point);
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<Point>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Telemetry {
    /// Looks every [`History::EVERY`], until told to stop.
    pub async fn look_loop(self, stop: CancellationToken) {
        let Self { metrics, health, history, sessions } = self;
        let mut ticks = interval(History::EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            history.note(Point::look(&metrics, &sessions));
            // The clock is looked at whether somebody asks or not: what it showed is over.
            drop(health.checks(UnixMs::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_point_gives_way() {
        let history = History::default();
        let point = |at| Point {
            at: UnixMs(at),
            admitted: 0,
            renewed: 0,
            refused: 0,
            bytes: 0,
            sessions: 0,
            tunnels: 0,
            renewals: None,
        };
        (0..History::KEPT as i64 + 2).for_each(|at| history.note(point(at)));
        let points = history.points();
        assert_eq!(points.len(), History::KEPT);
        assert_eq!(points.first().map(|point| point.at), Some(UnixMs(2)));
    }
}
