use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use countersign_protocol::KeyThumbprint;
use countersign_verifier::PcrSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Proven;

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

impl Proof {
    pub(super) fn new(key: KeyThumbprint, proven: &Proven, until: Instant) -> Self {
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
    pub(super) fn lives_or_ends(&self, now: Instant) -> bool {
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

    pub(super) fn says(&self, proven: &Proven) -> bool {
        self.pcrs == proven.pcrs && self.module_id == proven.module_id && self.root == proven.root
    }

    /// Never shorter: of two connections that both prove, the later lease counts.
    pub(super) fn extend(&self, until: Instant) {
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
