use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::Waker,
};

use countersign_protocol::{BootId, Epoch, KeyThumbprint, SessionId};
use tokio::time::Instant;

use super::{
    Admission, EndReason, Instance, RegisterError, SessionWatch, TunnelPermit,
    cut::Cut,
    watchers::{Kind, Watchers},
};
use crate::policy::Workload;

/// An admitted enclave key and the lease it has. Made by
/// [`super::Sessions::admit`] only.
pub struct Session {
    id: SessionId,
    key: KeyThumbprint,
    boot_id: BootId,
    measurement: Arc<str>,
    /// Zero while it lives, then the [`EndReason`]. Written once, under `state`.
    ended: AtomicU8,
    state: Mutex<State>,
}

/// What changes while a session lives.
#[derive(Debug)]
pub(super) struct State {
    pub(super) workload: Arc<Workload>,
    pub(super) sequence: u64,
    pub(super) epoch: Epoch,
    pub(super) lease_ends: Instant,
    /// The deadline entry that is this session's; any other one is stale.
    pub(super) scheduled: Instant,
    /// Who renewed it last: a lease given elsewhere is looked up, not known.
    pub(super) renewed: Renewed,
    /// What the registry counts it under.
    pub(super) instance: Option<Instance>,
    watchers: Watchers,
    /// The end it was part of, while some of its watchers are not gone.
    cut: Option<Arc<Cut>>,
}

/// Which replica admitted or renewed a session last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewed {
    Here,
    Elsewhere,
}

/// A session as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// The name of its workload.
    pub workload: String,
    /// The measurement it matched.
    pub measurement: Arc<str>,
    /// Its key.
    pub key: KeyThumbprint,
    /// The boot that attested.
    pub boot_id: BootId,
    /// The sequence number of its last attestation.
    pub sequence: u64,
    /// The policy that admitted it last.
    pub epoch: Epoch,
    /// When it lapses.
    pub lease_ends: Instant,
    /// The EC2 instance, once it has attested to this process.
    pub instance: Option<Instance>,
    /// How many tunnels it has.
    pub tunnels: u32,
}

impl Session {
    pub(super) fn new(id: SessionId, admission: Admission, lease_ends: Instant, renewed: Renewed) -> Self {
        let Admission { workload, measurement, key, boot_id, sequence, lease: _, epoch, instance } =
            admission;
        let state = State {
            workload,
            sequence,
            epoch,
            lease_ends,
            scheduled: lease_ends,
            renewed,
            instance,
            watchers: Watchers::default(),
            cut: None,
        };
        Self { id, key, boot_id, measurement, ended: AtomicU8::new(0), state: Mutex::new(state) }
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The key it was given to.
    pub fn key(&self) -> KeyThumbprint {
        self.key
    }

    pub(super) fn id_ref(&self) -> &SessionId {
        &self.id
    }

    pub(super) fn key_ref(&self) -> &KeyThumbprint {
        &self.key
    }

    /// The boot that attested.
    pub fn boot_id(&self) -> BootId {
        self.boot_id
    }

    /// The measurement it matched.
    pub fn measurement(&self) -> &Arc<str> {
        &self.measurement
    }

    /// Its workload as of its last attestation. What it may reach *now* is in the policy.
    pub fn workload(&self) -> Arc<Workload> {
        Arc::clone(&self.state().workload)
    }

    /// When it lapses unless it attests again.
    pub fn lease_ends(&self) -> Instant {
        self.state().lease_ends
    }

    /// Why it is over; `None` while it lives.
    pub fn ended(&self) -> Option<EndReason> {
        EndReason::from_byte(self.ended.load(Ordering::Acquire))
    }

    /// How it stands now.
    pub fn view(&self) -> SessionView {
        let state = self.state();
        SessionView {
            id: self.id,
            workload: state.workload.name.to_string(),
            measurement: Arc::clone(&self.measurement),
            key: self.key,
            boot_id: self.boot_id,
            sequence: state.sequence,
            epoch: state.epoch,
            lease_ends: state.lease_ends,
            instance: state.instance.clone(),
            tunnels: state.watchers.tunnels(),
        }
    }

    /// Takes the place of one tunnel, before anything else is done for it: what
    /// ends the session from here on reaches the permit.
    ///
    /// # Errors
    /// [`RegisterError`] if the session is over or has all the tunnels it may have.
    pub fn register_tunnel(self: &Arc<Self>) -> Result<TunnelPermit, RegisterError> {
        let mut state = self.state();
        self.check(&state)?;
        let limit = state.workload.limits.max_tunnels_per_session;
        let full = RegisterError::TooManyTunnels { limit };
        if state.watchers.tunnels() >= limit {
            return Err(full);
        }
        let slot = state.watchers.insert(Kind::Tunnel).ok_or(full)?;
        drop(state);
        Ok(TunnelPermit::new(SessionWatch::new(Arc::clone(self), slot, Kind::Tunnel)))
    }

    /// Watches the session's end for a connection that has no tunnel (yet).
    ///
    /// # Errors
    /// [`RegisterError`] if the session is over, or if tunnels and connections
    /// together are more than tunnels alone may be, and then some.
    pub fn watch(self: &Arc<Self>) -> Result<SessionWatch, RegisterError> {
        let mut state = self.state();
        self.check(&state)?;
        let limit = state.workload.limits.max_tunnels_per_session;
        let full = RegisterError::TooManyTunnels { limit };
        if state.watchers.held() >= limit.saturating_add(SPARE_CONNECTIONS) {
            return Err(full);
        }
        let slot = state.watchers.insert(Kind::Connection).ok_or(full)?;
        drop(state);
        Ok(SessionWatch::new(Arc::clone(self), slot, Kind::Connection))
    }

    /// Whether it still stands, at this very moment.
    pub(crate) fn still_stands(&self) -> Result<(), RegisterError> {
        self.check(&self.state())
    }

    /// Ends it as part of `cut`, and wakes everything that watches it. Returns how many
    /// tunnels that were. Ending twice changes nothing: the first reason stays.
    pub(super) fn finish(&self, reason: EndReason, cut: &Arc<Cut>) -> usize {
        let mut state = self.state();
        if self.ended().is_some() {
            return 0;
        }
        self.ended.store(reason as u8, Ordering::Release);
        let tunnels = state.watchers.tunnels();
        if state.watchers.held() > 0 {
            cut.add(state.watchers.held() as usize);
            state.cut = Some(Arc::clone(cut));
        }
        let wakers = state.watchers.take_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        tunnels as usize
    }

    pub(super) fn wake_on_end(&self, slot: u32, waker: Waker) {
        self.state().watchers.wait(slot, waker);
    }

    pub(super) fn unregister(&self, slot: u32, kind: Kind) {
        let mut state = self.state();
        state.watchers.remove(slot, kind);
        let cut = if state.watchers.held() == 0 { state.cut.take() } else { state.cut.clone() };
        drop(state);
        if let Some(cut) = cut {
            cut.let_go();
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, state: &State) -> Result<(), RegisterError> {
        if let Some(reason) = self.ended() {
            return Err(RegisterError::Ended(reason));
        }
        // The lapse loop comes a little later; nothing new passes in between.
        if state.lease_ends <= Instant::now() {
            return Err(RegisterError::Ended(EndReason::LeaseLapsed));
        }
        Ok(())
    }
}

impl State {
    /// How many tunnels it has.
    pub(super) fn tunnels(&self) -> u32 {
        self.watchers.tunnels()
    }

    /// Whether a tunnel or a connection would notice its end.
    pub(super) fn is_watched(&self) -> bool {
        self.watchers.held() > 0
    }

    /// Whether its lapse would be noticed: tunnels would be cut, or this replica would tell the
    /// audit of it. A copy of a session that lives elsewhere runs out unnoticed.
    pub(super) fn is_noticed(&self) -> bool {
        self.is_watched() || self.renewed == Renewed::Here
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, measurement, ended, .. } = self;
        let ended = EndReason::from_byte(ended.load(Ordering::Acquire));
        write!(f, "Session({id}, measurement {measurement}, ended {ended:?})")
    }
}

/// Connections without a tunnel that a session may hold beside its tunnels: warm
/// ones of a pool, and those whose request is on its way.
const SPARE_CONNECTIONS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_is_small() {
        // 512 bytes are the goal for everything: this, its allocation header,
        // two entries of 8 bytes in half-filled tables and one heap entry of 32
        // bytes in a vector that may be twice too long.
        assert!(size_of::<Session>() <= 256, "{} bytes", size_of::<Session>());
    }
}
