//! One place where peers are served, or one that is called: what its configuration lets be.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use countersign_protocol::{Interval, KeyThumbprint, Lease};
use countersign_verifier::{PcrSet, UnixMillis, Verifier};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{InUse, Judge, PeerError, Proof, Proofs, ProtocolFault, Proven, config::Standing};
use crate::attest::chain;

/// A destination or a port, with the configuration of the peers behind it.
pub struct Site {
    name: String,
    interval: Interval,
    standing: watch::Receiver<Standing>,
    proofs: Arc<Proofs>,
    /// For each key that is served here: what its channels are cut by.
    grants: Mutex<HashMap<KeyThumbprint, Grant>>,
}

struct Grant {
    proof: Arc<Proof>,
    cut: CancellationToken,
}

/// That a key may be served here now, and what to cut its channel by when it no longer may.
#[derive(Debug)]
pub struct Permit {
    /// Cancelled when the proof lapses, or the configuration no longer names its measurement.
    pub cut: CancellationToken,
    /// Counts the channel.
    pub in_use: InUse,
}

impl Site {
    /// A site; `name` is for the log.
    pub fn new(
        name: String,
        interval: Interval,
        standing: watch::Receiver<Standing>,
        proofs: Arc<Proofs>,
    ) -> Arc<Self> {
        Arc::new(Self { name, interval, standing, proofs, grants: Mutex::default() })
    }

    /// For the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often a peer proves itself again at least.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// Keeps what a round proved.
    ///
    /// # Errors
    /// [`PeerError::Full`].
    pub fn hold(&self, key: KeyThumbprint, proven: &Proven) -> Result<Arc<Proof>, PeerError> {
        self.proofs.hold(key, proven)
    }

    /// Ends a proof before its time.
    pub fn forget(&self, proof: &Arc<Proof>) {
        self.proofs.forget(proof);
    }

    /// The proof that a key holds, whether or not it may be served here.
    pub fn proof(&self, key: &KeyThumbprint) -> Option<Arc<Proof>> {
        self.proofs.get(key)
    }

    /// Lets a channel rest on a proof, if the configuration that is in force names what was proved.
    ///
    /// # Errors
    /// As [`Site::cut`], or [`ProtocolFault::UnknownKey`] for a proof that has just ended.
    pub fn admit(&self, proof: &Arc<Proof>) -> Result<Permit, PeerError> {
        let cut = self.cut(proof)?;
        let in_use = proof.used().ok_or(ProtocolFault::UnknownKey)?;
        Ok(Permit { cut, in_use })
    }

    /// What is cancelled when whoever proved this is not served here any more.
    ///
    /// Judged under the lock that [`Site::judge_again`] takes: a configuration that comes meanwhile is either seen
    /// here, or finds the grant.
    ///
    /// # Errors
    /// [`PeerError::Config`], [`PeerError::Refused`], [`PeerError::OtherRoot`].
    pub fn cut(&self, proof: &Arc<Proof>) -> Result<CancellationToken, PeerError> {
        let mut grants = self.lock();
        self.judge(proof)?;
        grants.retain(|_, grant| !grant.cut.is_cancelled());
        let new = || Grant { proof: proof.clone(), cut: proof.end().child_token() };
        let grant = grants.entry(proof.key()).or_insert_with(new);
        if !Arc::ptr_eq(&grant.proof, proof) {
            *grant = new();
        }
        Ok(grant.cut.clone())
    }

    /// Judges every grant again each time that the configuration changes.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut standing = self.standing.clone();
        let judging = async {
            while standing.changed().await.is_ok() {
                self.judge_again();
            }
        };
        stop.run_until_cancelled(judging).await;
    }

    /// Cuts the channels of whoever the configuration no longer names.
    fn judge_again(&self) {
        let mut grants = self.lock();
        grants.retain(|key, grant| match self.judge(&grant.proof) {
            Ok(()) => true,
            Err(why) => {
                warn!(
                    code = why.code(), site = %self.name, peer = %key, module = %grant.proof.module_id(),
                    "channels are cut: {}", chain(&why)
                );
                grant.cut.cancel();
                false
            }
        });
    }

    pub(super) fn judge(&self, proof: &Proof) -> Result<(), PeerError> {
        let trusted = self.in_force()?;
        if trusted.verifier().anchor().name() != proof.root() {
            return Err(PeerError::OtherRoot);
        }
        trusted.appraise(proof.pcrs()).map(drop)
    }

    /// The configuration in force.
    ///
    /// # Errors
    /// [`PeerError::Config`]: why there is none.
    pub fn in_force(&self) -> Result<Arc<super::config::Trusted>, PeerError> {
        self.standing.borrow().clone().map_err(PeerError::Config)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyThumbprint, Grant>> {
        // Each change is whole before anything can panic.
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Judge for Site {
    fn verifier(&self) -> Result<Arc<Verifier>, PeerError> {
        Ok(self.in_force()?.verifier().clone())
    }

    fn appraise(&self, pcrs: &PcrSet, at: UnixMillis) -> Result<(String, Lease), PeerError> {
        let trusted = self.in_force()?;
        trusted.counts_at(at.as_millis() / 1000).map_err(|why| PeerError::Config(Arc::new(why)))?;
        let measurement = trusted.appraise(pcrs)?.to_owned();
        Ok((measurement, self.interval.lease()))
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("name", &self.name).finish_non_exhaustive()
    }
}
