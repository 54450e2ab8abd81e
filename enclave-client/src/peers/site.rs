//! One place where peers are served, or one that is called: what its configuration lets be.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use countersign_protocol::{Destination, Interval, KeyThumbprint, Lease};
use countersign_verifier::{PcrSet, UnixMillis, Verifier};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    InUse, Judge, PeerError, Proof, Proofs, ProtocolFault, Proven,
    config::{Standing, Trusted},
};
use crate::attest::chain;

/// A destination or a port, with the configuration of the peers behind it and what they proved there.
///
/// What was proved at one site is nothing to another: a lease is agreed between a destination of one enclave and a port
/// of another, by the intervals of both, and both keep the same one for as long.
pub struct Site {
    place: Place,
    interval: Interval,
    standing: watch::Receiver<Standing>,
    proofs: Proofs,
    /// For each key that is served here: what its channels are cut by.
    grants: Mutex<HashMap<KeyThumbprint, Grant>>,
}

/// Where peers meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A port of ours at which they call.
    Port(u16),
    /// Where one is called, if its configuration names the port.
    Destination(Destination),
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
    /// A site that nobody has proved anything to.
    pub fn new(place: Place, interval: Interval, standing: watch::Receiver<Standing>) -> Arc<Self> {
        let (proofs, grants) = (Proofs::default(), Mutex::default());
        Arc::new(Self { place, interval, standing, proofs, grants })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// How often a peer proves itself again at least.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// The keys that hold a proof here, whether or not they may be served.
    pub fn proofs(&self) -> &Proofs {
        &self.proofs
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
    /// As [`Site::in_force`], [`PeerError::Refused`], [`PeerError::OtherRoot`].
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

    /// Lets proofs lapse, and judges every grant again each time that the configuration changes, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut standing = self.standing.clone();
        let judging = async {
            while standing.changed().await.is_ok() {
                self.judge_again();
            }
        };
        tokio::join!(self.proofs.run(&stop), stop.run_until_cancelled(judging));
    }

    /// A line in the log for a connection that has begun to prove.
    pub(super) fn tell_proved(&self, key: &KeyThumbprint, proven: &Proven) {
        let Proven { measurement, module_id: module, lease, .. } = proven;
        info!(
            code = "peer-proved", site = %self.place, peer = %key, %module, %measurement, lease = lease.as_secs(),
            "both sides proved what they are"
        );
    }

    /// Cuts the channels of whoever the configuration no longer names.
    fn judge_again(&self) {
        let mut grants = self.lock();
        grants.retain(|key, grant| match self.judge(&grant.proof) {
            Ok(()) => true,
            Err(why) => {
                warn!(
                    code = why.code(), site = %self.place, peer = %key, module = %grant.proof.module_id(),
                    "channels are cut: {}", chain(&why)
                );
                grant.cut.cancel();
                false
            }
        });
    }

    /// What the other end is told whose proof does not hold here any more.
    pub(super) fn why_not(&self, proof: &Proof) -> PeerError {
        self.judge(proof).err().unwrap_or_else(|| ProtocolFault::UnknownKey.into())
    }

    fn judge(&self, proof: &Proof) -> Result<(), PeerError> {
        let trusted = self.in_force()?;
        if trusted.verifier().anchor().name() != proof.root() {
            return Err(PeerError::OtherRoot);
        }
        trusted.appraise(proof.pcrs()).map(drop)
    }

    /// The configuration in force, if it names this place.
    ///
    /// # Errors
    /// [`PeerError::Config`]: why there is none. [`PeerError::Port`].
    pub fn in_force(&self) -> Result<Arc<Trusted>, PeerError> {
        let trusted = self.standing.borrow().clone().map_err(PeerError::Config)?;
        if let Place::Destination(destination) = &self.place {
            let port = destination.port();
            if !trusted.config().fields().ports.iter().any(|named| named.get() == port) {
                return Err(PeerError::Port { port });
            }
        }
        Ok(trusted)
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "peers {port}"),
            Self::Destination(destination) => destination.fmt(f),
        }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("place", &self.place).finish_non_exhaustive()
    }
}
