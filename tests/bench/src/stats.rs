use std::time::Duration;

/// The middle of the samples; 0 of none.
pub(crate) fn median(samples: impl IntoIterator<Item = f64>) -> f64 {
    let mut samples: Vec<f64> = samples.into_iter().collect();
    samples.sort_by(f64::total_cmp);
    let upper = samples.len() / 2;
    match (samples.len() % 2, samples.get(upper), upper.checked_sub(1).and_then(|lower| samples.get(lower))) {
        (0, Some(upper), Some(lower)) => f64::midpoint(*lower, *upper),
        (_, Some(middle), _) => *middle,
        _ => 0.0,
    }
}

/// Durations of which percentiles are asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// Adds one.
    pub(crate) fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// Adds all of the others.
    pub(crate) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The latency that `percent` of them do not exceed (nearest rank), in microseconds; 0 of none.
    pub(crate) fn percentile(&mut self, percent: f64) -> f64 {
        self.0.sort_unstable();
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).map_or(0.0, |latency| micros(*latency))
    }
}

/// A duration in microseconds.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// One turn of one server: what it did, in which time, at which cost of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Operations, or bytes.
    pub(crate) count: f64,
    /// On the wall.
    pub(crate) wall: Duration,
    /// The server's CPU time, user and system.
    pub(crate) cpu: Duration,
}

/// The turns of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Vec<Turn>);

impl Turns {
    /// Adds a turn.
    pub(crate) fn push(&mut self, turn: Turn) {
        self.0.push(turn);
    }

    /// Median for each second on the wall.
    pub(crate) fn per_wall_second(&self) -> f64 {
        median(self.0.iter().map(|turn| turn.count / turn.wall.as_secs_f64()))
    }

    /// Median for each second of the server's CPU time.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        median(self.0.iter().map(|turn| turn.count / turn.cpu.as_secs_f64().max(f64::EPSILON)))
    }

    /// Median share of the wall time in which the server's core worked for it, 0 to 1.
    pub(crate) fn busy(&self) -> f64 {
        median(self.0.iter().map(|turn| turn.cpu.as_secs_f64() / turn.wall.as_secs_f64()))
    }

    /// For each second of one core, and how that was taken: on the wall when the load kept the core busy,
    /// else by CPU time.
    pub(crate) fn per_second_core(&self) -> (f64, String) {
        let percent = self.busy() * 100.0;
        if self.busy() >= BUSY {
            (self.per_wall_second(), format!("1/s (wall; server core {percent:.0} % busy)"))
        } else {
            (self.per_cpu_second(), format!("1/s of server CPU (core {percent:.0} % busy)"))
        }
    }
}

/// From here on a core counts as busy: interrupts are not in a process's own time.
const BUSY: f64 = 0.93;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([]), 0.0);
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut latencies = Latencies((1..=100).rev().map(Duration::from_micros).collect());
        assert_eq!([50.0, 99.0, 100.0].map(|p| latencies.percentile(p)), [50.0, 99.0, 100.0]);
        assert_eq!(Latencies::default().percentile(50.0), 0.0);
    }

    #[test]
    fn a_rate_says_how_it_was_taken() {
        let turn = |cpu| Turn { count: 100.0, wall: Duration::from_secs(1), cpu: Duration::from_millis(cpu) };
        let (rate, unit) = Turns(vec![turn(990)]).per_second_core();
        assert_eq!((rate, unit.as_str()), (100.0, "1/s (wall; server core 99 % busy)"));
        let (rate, unit) = Turns(vec![turn(500)]).per_second_core();
        assert_eq!((rate, unit.as_str()), (200.0, "1/s of server CPU (core 50 % busy)"));
    }
}
