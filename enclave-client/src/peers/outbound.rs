//! The way to one peer.
//!
//! ```text
//!   open() ─► Egress::reach ─► TLS ─► whose key?
//!                                 ├─ proved:  Opening::Carry ─► Channel
//!                                 └─ not yet: Opening::Prove ─► a round ─► keeper.rs keeps it proved
//!                                                               and again from the top
//! ```
//!
//! A connection that proves carries nothing else. So a reader that is slow never
//! stands before a proof, the bytes of a channel are TLS's and nobody else's, and
//! a name that leads to many enclaves works: each connection to one that is not
//! known makes it known.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use countersign_protocol::{Destination, peer::Opening};
use countersign_telemetry::Span;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::{
    Channel, NsmTime, PeerError, PeerIdentity, Permit, Secured, Site, exchange, exchange::within,
    keeper::Keeper, turns::Turns,
};
use crate::{
    device::Device,
    egress::{Egress, Way},
};

/// What all sites of an enclave share.
#[derive(Clone, Debug)]
pub struct Own {
    /// This enclave's key.
    pub identity: PeerIdentity,
    /// What signs for it.
    pub device: Device,
    /// The time by the device.
    pub time: Arc<NsmTime>,
    /// Cancelled when the program ends.
    pub stop: CancellationToken,
}

/// A destination that is a peer.
pub struct Outbound {
    destination: Destination,
    site: Arc<Site>,
    own: Own,
    /// The one way out, which holds this.
    way: Weak<Egress>,
    /// Whoever comes while a key is being proved finds it proved.
    proving: Turns,
}

impl Outbound {
    /// The way to `destination` through `way`.
    pub fn new(destination: Destination, site: Arc<Site>, own: Own, way: Weak<Egress>) -> Arc<Self> {
        Arc::new(Self { destination, site, own, way, proving: Turns::default() })
    }

    /// A channel to the peer.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn open(self: &Arc<Self>) -> Result<Channel<Way>, PeerError> {
        within(OPEN_DEADLINE, self.open_in_time()).await
    }

    async fn open_in_time(self: &Arc<Self>) -> Result<Channel<Way>, PeerError> {
        self.site.in_force()?;
        for _ in 0..MAX_ATTEMPTS {
            let secured = self.connect().await?;
            if let Some(permit) = self.known(&secured)? {
                return self.carry(secured, permit).await;
            }
            let _turn = self.proving.wait(secured.peer()).await;
            // Somebody may have proved this very key while we waited.
            if let Some(permit) = self.known(&secured)? {
                return self.carry(secured, permit).await;
            }
            self.prove(secured).await?;
        }
        Err(PeerError::Elsewhere { attempts: MAX_ATTEMPTS })
    }

    /// Proves both ends to each other, and keeps them proved.
    pub(super) async fn prove(self: &Arc<Self>, mut link: Secured<Way>) -> Result<(), PeerError> {
        link.stream.write_all(&[Opening::Prove.byte()]).await.map_err(PeerError::Tls)?;
        let peer = exchange::round(&mut link, &self.own.device, &*self.site).await?;
        self.own.time.note(peer.at);
        let proof = self.site.proofs().hold(link.peer(), &peer)?;
        Keeper::new(self.clone(), link, proof, &peer).spawn();
        Ok(())
    }

    /// A connection to whichever enclave it leads to.
    pub(super) async fn connect(&self) -> Result<Secured<Way>, PeerError> {
        let way = self.way.upgrade().ok_or(PeerError::Stopping)?;
        let reached = way.reach(&self.destination, &mut Span::none()).await;
        let stream = reached.map_err(|why| PeerError::Unreachable(Box::new(why)))?;
        self.own.identity.connect(stream).await
    }

    pub(super) fn site(&self) -> &Arc<Site> {
        &self.site
    }

    pub(super) fn own(&self) -> &Own {
        &self.own
    }

    fn known(&self, secured: &Secured<Way>) -> Result<Option<Permit>, PeerError> {
        self.site.proofs().get(&secured.peer()).map(|proof| self.site.admit(&proof)).transpose()
    }

    async fn carry(&self, mut secured: Secured<Way>, permit: Permit) -> Result<Channel<Way>, PeerError> {
        secured.stream.write_all(&[Opening::Carry.byte()]).await.map_err(PeerError::Tls)?;
        secured.stream.flush().await.map_err(PeerError::Tls)?;
        let below = secured.stream.get_ref().0.cut().cloned();
        Ok(Channel::new(secured, permit, below.as_ref()))
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("destination", &self.destination).finish_non_exhaustive()
    }
}

/// Connections for one channel: a name that leads to a hundred enclaves at random leads to one of those that are known
/// after a dozen, most likely (the birthday problem), and each makes one more known for whoever comes next.
const MAX_ATTEMPTS: u32 = 24;

/// For all of them, with their rounds.
const OPEN_DEADLINE: Duration = Duration::from_secs(60);
