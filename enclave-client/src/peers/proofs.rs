//! Which keys hold a proof, and until when.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use countersign_protocol::KeyThumbprint;
use countersign_verifier::PcrSet;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{PeerError, Proven};

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

/// What one key proved.
pub struct Proof {
    key: KeyThumbprint,
    pcrs: PcrSet,
    module_id: String,
    root: &'static str,
    until: Mutex<Instant>,
    end: CancellationToken,
    usage: Mutex<Usage>,
}

struct Usage {
    channels: usize,
    last: Instant,
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
            before.end.cancel();
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
        proof.end.cancel();
        let mut held = self.lock();
        if held.get(&proof.key).is_some_and(|known| Arc::ptr_eq(known, proof)) {
            held.remove(&proof.key);
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

impl Proof {
    fn new(key: KeyThumbprint, proven: &Proven, until: Instant) -> Self {
        Self {
            key,
            pcrs: proven.pcrs.clone(),
            module_id: proven.module_id.clone(),
            root: proven.root,
            until: Mutex::new(until),
            end: CancellationToken::new(),
            usage: Mutex::new(Usage { channels: 0, last: Instant::now() }),
        }
    }

    /// Whose it is.
    pub fn key(&self) -> KeyThumbprint {
        self.key
    }

    /// The PCRs of the last round.
    pub fn pcrs(&self) -> &PcrSet {
        &self.pcrs
    }

    /// The enclave's id.
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// The root that its documents lead to.
    pub fn root(&self) -> &'static str {
        self.root
    }

    /// When it lapses.
    pub fn until(&self) -> Instant {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled when it no longer holds.
    pub fn end(&self) -> &CancellationToken {
        &self.end
    }

    /// Whether it holds.
    pub fn lives(&self, now: Instant) -> bool {
        !self.end.is_cancelled() && now < self.until()
    }

    /// Whether it holds; one whose time is over is ended by the question.
    fn lives_or_ends(&self, now: Instant) -> bool {
        let lives = self.lives(now);
        if !lives && !self.end.is_cancelled() {
            let (peer, module) = (self.key, &self.module_id);
            info!(code = "peer-lapsed", %peer, %module, "a peer did not prove itself again in time");
            self.end.cancel();
        }
        lives
    }

    /// Counts a channel that rests on it, as long as what is given back lives. `None` when it does not hold any more.
    pub fn used(self: &Arc<Self>) -> Option<InUse> {
        let mut usage = self.usage();
        if !self.lives(Instant::now()) {
            return None;
        }
        usage.channels += 1;
        Some(InUse(self.clone()))
    }

    /// Ends it if nothing has rested on it for so long: under one lock with [`Proof::used`], so that no channel begins
    /// on a proof that nobody keeps.
    pub fn end_if_idle(&self, limit: Duration) -> bool {
        let usage = self.usage();
        let idle = usage.channels == 0 && usage.last.elapsed() > limit;
        if idle {
            self.end.cancel();
        }
        idle
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn says(&self, proven: &Proven) -> bool {
        self.pcrs == proven.pcrs && self.module_id == proven.module_id && self.root == proven.root
    }

    /// Never shorter: of two connections that both prove, the later lease counts.
    fn extend(&self, until: Instant) {
        let mut held = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *held = (*held).max(until);
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof")
            .field("key", &self.key)
            .field("module_id", &self.module_id)
            .finish_non_exhaustive()
    }
}

/// A channel that rests on a proof.
#[derive(Debug)]
pub struct InUse(Arc<Proof>);

impl Drop for InUse {
    fn drop(&mut self) {
        let mut usage = self.0.usage();
        usage.channels -= 1;
        usage.last = Instant::now();
    }
}

/// When to look again if there is nothing to look at.
const IDLE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use countersign_protocol::Lease;
    use countersign_verifier::{Pcr, PcrIndex, UnixMillis};

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
