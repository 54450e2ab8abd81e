use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What became of what was told, by signal. Cheap to clone; for whoever shows figures.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<[OfSignal; 3]>);

#[derive(Debug, Default)]
struct OfSignal {
    exported: AtomicU64,
    lost: [Arc<AtomicU64>; 3],
}

/// A kind of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Figures, counted by their points.
    Metrics,
}

/// Why something did not reach the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// More came than was sent away: the queue was full.
    QueueFull,
    /// The collector could not be reached, or would not take it, until time was up.
    NotSent,
    /// The collector took the request and said that it dropped these.
    Rejected,
}

impl Counts {
    /// How many the collector took.
    pub fn exported(&self, signal: Signal) -> u64 {
        self.of(signal).exported.load(Ordering::Relaxed)
    }

    /// How many were lost so.
    pub fn lost(&self, signal: Signal, how: Loss) -> u64 {
        self.of(signal).lost[how as usize].load(Ordering::Relaxed)
    }

    fn of(&self, signal: Signal) -> &OfSignal {
        &self.0[signal as usize]
    }
}

#[cfg_attr(not(any(test, feature = "otlp")), allow(dead_code, reason = "there is no exporter"))]
impl Counts {
    pub(crate) fn sent(&self, signal: Signal, number: u64) {
        self.of(signal).exported.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn lose(&self, signal: Signal, how: Loss, number: u64) {
        self.of(signal).lost[how as usize].fetch_add(number, Ordering::Relaxed);
    }

    /// The one that a queue raises.
    pub(crate) fn overflow(&self, signal: Signal) -> Arc<AtomicU64> {
        Arc::clone(&self.of(signal).lost[Loss::QueueFull as usize])
    }
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// The word of OTLP's paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::QueueFull, Self::NotSent, Self::Rejected];

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue-full",
            Self::NotSent => "not-sent",
            Self::Rejected => "rejected",
        }
    }
}
