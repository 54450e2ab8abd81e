use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use countersign_protocol::Host;

/// What happens, counted. Whoever counts holds it by an `Option<Arc<_>>` that is empty while telemetry is
/// off: then nothing is counted, allocated or locked.
#[derive(Debug, Default)]
pub struct Figures {
    /// The way out.
    pub tunnels: TunnelFigures,
    /// Attempts to attest, by proxy and outcome.
    pub attestations: Tally<(Host, AttestOutcome)>,
    /// Calls of the KMS endpoint, by operation and outcome.
    pub kms_calls: Tally<(&'static str, KmsOutcome)>,
}

/// Connections out, and their bytes while they flow.
#[derive(Debug, Default)]
pub struct TunnelFigures {
    opened: AtomicU64,
    ended: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    /// Those that were not opened, by the stable word for it.
    pub refused: Tally<&'static str>,
}

/// How an attempt to attest ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttestOutcome {
    /// A new session.
    Admitted,
    /// The session that was there goes on.
    Renewed,
    /// Neither, and the stable word for it: of this program, or of the proxy.
    Failed(Cow<'static, str>),
}

/// How a call of the KMS endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KmsOutcome {
    /// KMS answered with this HTTP status.
    Answered(u16),
    /// The endpoint answered itself, and with which error.
    Refused(&'static str),
}

impl TunnelFigures {
    /// One more is open.
    pub fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// One is no more.
    pub fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes that left.
    pub fn up(&self, bytes: usize) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that came.
    pub fn down(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What was counted until now.
    pub fn read(&self) -> TunnelCounts {
        // Ended first: what begins and ends between the two reads is one too many open, never one too few.
        let ended = self.ended.load(Ordering::Relaxed);
        let opened = self.opened.load(Ordering::Relaxed);
        TunnelCounts {
            opened,
            open: opened.saturating_sub(ended),
            up: self.up.load(Ordering::Relaxed),
            down: self.down.load(Ordering::Relaxed),
        }
    }
}

/// [`TunnelFigures`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelCounts {
    /// Opened since the start.
    pub opened: u64,
    /// Open now.
    pub open: u64,
    /// Bytes that left.
    pub up: u64,
    /// Bytes that came.
    pub down: u64,
}

/// Counts by key, for what is seldom. There are never more than [`Tally::MOST`] keys and one.
#[derive(Debug)]
pub struct Tally<K>(Mutex<BTreeMap<K, u64>>);

impl<K: Ord + Clone> Tally<K> {
    /// Keys that are told apart.
    pub const MOST: usize = 256;

    /// One more of these; the key is a word of this program.
    pub fn add(&self, key: K) {
        *self.counts().entry(key).or_default() += 1;
    }

    /// One more of these, or of the others if these would be one kind too many: for words from elsewhere.
    pub fn add_or(&self, key: K, others: K) {
        let mut counts = self.counts();
        let known = counts.len() < Self::MOST || counts.contains_key(&key);
        *counts.entry(if known { key } else { others }).or_default() += 1;
    }

    /// What was counted until now, in the keys' order.
    pub fn read(&self) -> Vec<(K, u64)> {
        self.counts().iter().map(|(key, count)| (key.clone(), *count)).collect()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<K, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_read() {
        let figures = Figures::default();
        figures.tunnels.opened();
        figures.tunnels.opened();
        figures.tunnels.ended();
        figures.tunnels.up(3);
        figures.tunnels.down(5);
        assert_eq!(figures.tunnels.read(), TunnelCounts { opened: 2, open: 1, up: 3, down: 5 });
        for word in ["unreachable", "destination-denied", "unreachable"] {
            figures.tunnels.refused.add(word);
        }
        assert_eq!(figures.tunnels.refused.read(), [("destination-denied", 1), ("unreachable", 2)]);
    }

    /// A proxy that answers another code each time.
    #[test]
    fn words_from_elsewhere_are_bounded() {
        let tally = Tally::default();
        for number in 0..10_000 {
            tally.add_or(format!("code-{number}"), "other".to_owned());
        }
        tally.add_or("code-0".to_owned(), "other".to_owned());
        let counts: BTreeMap<_, _> = tally.read().into_iter().collect();
        assert_eq!(counts.len(), Tally::<String>::MOST + 1);
        assert_eq!((counts["code-0"], counts["other"]), (2, 10_000 - Tally::<String>::MOST as u64));
    }
}
