//! Which keys hold a proof, and until when.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use countersign_protocol::KeyThumbprint;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{PeerError, Proof, Proven};

/// The peers that proved themselves to one site, by key.
///
/// A key is held by one enclave alone, so what it proved on one connection holds for
/// all its connections with this site, as long as the lease runs: that lease was agreed
/// for this site, and the other side keeps the same one.
#[derive(Debug, Default)]
pub struct Proofs {
    held: Mutex<HashMap<KeyThumbprint, Arc<Proof>>>,
    sooner: Notify,
}

impl Proofs {
    /// How many are kept. Whoever comes when it is full is refused; nobody is pushed out.
    pub const LIMIT: usize = 4096;

    /// Keeps what a round proved, or makes what is known of the key last longer.
    ///
    /// A key that proves other PCRs than before (an enclave can extend some while it runs) begins anew: what rested on
    /// the old ones is cut.
    ///
    /// # Errors
    /// [`PeerError::Full`].
    pub fn hold(&self, key: KeyThumbprint, proven: &Proven) -> Result<Arc<Proof>, PeerError> {
        let until = proven.since + proven.lease.duration();
        let mut held = self.lock();
        let now = Instant::now();
        if let Some(known) = held.get(&key).filter(|known| known.lives(now) && known.says(proven)) {
            known.extend(until);
            return Ok(known.clone());
        }
        if held.len() >= Self::LIMIT {
            held.retain(|_, proof| proof.lives_or_ends(now));
        }
        if held.len() >= Self::LIMIT && !held.contains_key(&key) {
            return Err(PeerError::Full { limit: Self::LIMIT });
        }
        let proof = Arc::new(Proof::new(key, proven, until));
        // The one before may be over and not ended yet: its channels rest on nothing.
        if let Some(before) = held.insert(key, proof.clone()) {
            before.end().cancel();
        }
        drop(held);
        self.sooner.notify_one();
        Ok(proof)
    }

    /// The proof that a key holds now.
    pub fn get(&self, key: &KeyThumbprint) -> Option<Arc<Proof>> {
        self.lock().get(key).filter(|proof| proof.lives(Instant::now())).cloned()
    }

    /// Ends a proof before its time.
    pub fn forget(&self, proof: &Arc<Proof>) {
        proof.end().cancel();
        let mut held = self.lock();
        if held.get(&proof.key()).is_some_and(|known| Arc::ptr_eq(known, proof)) {
            held.remove(&proof.key());
        }
    }

    /// Ends each proof when its lease lapses; returns when `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        let lapses = async {
            loop {
                let next = self.lapse(Instant::now());
                tokio::select! {
                    () = sleep_until(next) => {}
                    () = self.sooner.notified() => {}
                }
            }
        };
        stop.run_until_cancelled(lapses).await;
    }

    /// Ends what has lapsed at `now`; when to look again.
    fn lapse(&self, now: Instant) -> Instant {
        let mut held = self.lock();
        held.retain(|_, proof| proof.lives_or_ends(now));
        held.values().map(|proof| proof.until()).min().unwrap_or(now + IDLE)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyThumbprint, Arc<Proof>>> {
        // Each change is whole before anything can panic.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When to look again if there is nothing to look at.
const IDLE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use countersign_protocol::Lease;
    use countersign_verifier::{Pcr, PcrIndex, PcrSet, UnixMillis};

    use super::{super::SignedTime, *};

    fn proven(byte: u8) -> Proven {
        let mut pcrs = PcrSet::EMPTY;
        pcrs.insert(PcrIndex::PCR0, Pcr::new([byte; 48])).unwrap();
        Proven {
            pcrs,
            module_id: "i-1-enc1".to_owned(),
            root: "aws",
            measurement: "m".to_owned(),
            at: SignedTime { at: UnixMillis::from_millis(0), came: Instant::now() },
            lease: Lease::MIN,
            since: Instant::now(),
        }
    }

    fn key(number: usize) -> KeyThumbprint {
        KeyThumbprint::of_spki(&number.to_be_bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn a_proof_lapses_at_its_time_and_not_before() {
        let proofs = Arc::new(Proofs::default());
        let stop = CancellationToken::new();
        let (running, until) = (proofs.clone(), stop.clone());
        tokio::spawn(async move { running.run(&until).await });
        let started = Instant::now();
        let first = proofs.hold(key(1), &proven(1)).unwrap();
        tokio::time::advance(Duration::from_secs(20)).await;
        let second = proofs.hold(key(2), &proven(1)).unwrap();
        assert!(Arc::ptr_eq(&proofs.hold(key(2), &proven(1)).unwrap(), &second));
        first.end().cancelled().await;
        assert_eq!(started.elapsed(), Duration::from_secs(30));
        assert!(proofs.get(&key(1)).is_none() && proofs.get(&key(2)).is_some());
        // Proved again, it lasts.
        proofs.hold(key(2), &proven(1)).unwrap();
        second.end().cancelled().await;
        assert_eq!(started.elapsed(), Duration::from_secs(60));
        stop.cancel();
    }

    #[tokio::test(start_paused = true)]
    async fn other_pcrs_begin_anew_and_cut_what_was() {
        let proofs = Proofs::default();
        let first = proofs.hold(key(1), &proven(1)).unwrap();
        let second = proofs.hold(key(1), &proven(2)).unwrap();
        assert!(first.end().is_cancelled() && !second.end().is_cancelled());
        // Forgetting the old one again leaves the new one alone.
        proofs.forget(&first);
        assert!(proofs.get(&key(1)).is_some());
        proofs.forget(&second);
        assert!(proofs.get(&key(1)).is_none());
    }

    /// Proved again when its time is over and nobody has looked yet: what rested on it is cut all the same.
    #[tokio::test(start_paused = true)]
    async fn one_that_is_replaced_or_swept_out_is_ended() {
        let proofs = Proofs::default();
        let replaced = proofs.hold(key(0), &proven(1)).unwrap();
        let swept = proofs.hold(key(1), &proven(1)).unwrap();
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(!replaced.end().is_cancelled() && !swept.end().is_cancelled());
        let anew = proofs.hold(key(0), &proven(1)).unwrap();
        assert!(replaced.end().is_cancelled() && !anew.end().is_cancelled());
        for number in 2..=Proofs::LIMIT {
            proofs.hold(key(number), &proven(1)).unwrap();
        }
        assert!(swept.end().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_pushed_out() {
        let proofs = Proofs::default();
        for number in 0..Proofs::LIMIT {
            proofs.hold(key(number), &proven(1)).unwrap();
        }
        let full = proofs.hold(key(Proofs::LIMIT), &proven(1)).unwrap_err();
        assert!(matches!(full, PeerError::Full { limit: Proofs::LIMIT }), "{full}");
        proofs.hold(key(0), &proven(1)).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn idle_is_counted_from_the_last_channels_end() {
        let proof = Proofs::default().hold(key(1), &proven(1)).unwrap();
        let limit = Duration::from_secs(5);
        let (one, other) = (proof.used().unwrap(), proof.used().unwrap());
        tokio::time::advance(limit * 2).await;
        drop(one);
        assert!(!proof.end_if_idle(limit));
        drop(other);
        tokio::time::advance(limit).await;
        assert!(!proof.end_if_idle(limit));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(proof.end_if_idle(limit));
        assert!(proof.used().is_none());
    }
}
