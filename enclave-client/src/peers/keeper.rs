//! Keeps one peer proved, on the connection that proved it first.

use std::{pin::Pin, sync::Arc, time::Duration};

use countersign_protocol::Lease;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, info, warn};

use super::{Outbound, PeerError, Proof, Proven, Secured, exchange, frames};
use crate::{
    attest::{Backoff, chain, renew_after},
    egress::Way,
    random::Fraction,
};

/// Proves both ends again before either lease is over; the initiator does, the responder waits for it.
pub(super) struct Keeper {
    route: Arc<Outbound>,
    link: Secured<Way>,
    proof: Arc<Proof>,
    lease: Lease,
}

/// Why a keeper stopped.
enum End {
    /// Nobody used the peer for a while.
    Idle,
    /// The peer is not served here any more; it was told.
    Over,
    /// What came of the connection.
    Failed(PeerError),
}

impl Keeper {
    pub(super) fn new(route: Arc<Outbound>, link: Secured<Way>, proof: Arc<Proof>, peer: Proven) -> Self {
        let Proven { measurement, module_id, lease, .. } = peer;
        info!(
            code = "peer-proved", site = %route.site().name(), peer = %proof.key(), module = %module_id, %measurement,
            lease = lease.as_secs(), "both sides proved what they are"
        );
        Self { route, link, proof, lease }
    }

    /// A task that runs until the program ends, or there is no more use for it. It can start others of its kind,
    /// which is why its type is written out.
    pub(super) fn spawn(self) {
        let run: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(self.run());
        tokio::spawn(run);
    }

    async fn run(self) {
        let stop = self.route.own().stop.clone();
        let Some((route, proof, end)) = stop.run_until_cancelled(self.keep()).await else { return };
        let site = route.site().name().to_owned();
        match end {
            End::Idle => debug!(%site, peer = %proof.key(), "nothing rests on this peer's proof any more"),
            End::Over => {}
            End::Failed(why) if refused(&why) => {
                warn!(code = why.code(), %site, peer = %proof.key(), "the peer is cut: {}", chain(&why));
                route.forget(&proof);
            }
            End::Failed(why) => {
                debug!(code = why.code(), %site, "the connection that proves is lost: {}", chain(&why));
                stop.run_until_cancelled(again(&route, &proof)).await;
            }
        }
    }

    async fn keep(mut self) -> (Arc<Outbound>, Arc<Proof>, End) {
        let site = self.route.site().clone();
        let cut = match site.cut(&self.proof) {
            Ok(cut) => cut,
            Err(why) => {
                exchange::refuse(&mut self.link, &why).await;
                return (self.route, self.proof, End::Over);
            }
        };
        let end = loop {
            let next = Instant::now() + renew_after(self.lease, site.interval(), Fraction::random());
            tokio::select! {
                () = cut.cancelled() => {
                    exchange::refuse(&mut self.link, &gone(&site, &self.proof)).await;
                    break End::Over;
                }
                // Between rounds the peer says nothing but that it is over.
                said = timeout_at(next, frames::read(&mut self.link.stream)) => match said {
                    Ok(Ok(said)) => {
                        let out_of_turn = super::ProtocolFault::OutOfTurn { expected: "silence" };
                        break End::Failed(said.message().err().unwrap_or(out_of_turn.into()));
                    }
                    Ok(Err(why)) => break End::Failed(why),
                    Err(_) => {}
                },
            }
            // Ended here, and not left to lapse: a channel that came meanwhile would be cut by that.
            if self.proof.end_if_idle(IDLE) {
                break End::Idle;
            }
            match exchange::round(&mut self.link, &self.route.own().device, &*site).await {
                Ok(peer) => {
                    if let Err(why) = self.renewed(&peer) {
                        break End::Failed(why);
                    }
                }
                Err(why) => break End::Failed(why),
            }
        };
        (self.route, self.proof, end)
    }

    fn renewed(&mut self, peer: &Proven) -> Result<(), PeerError> {
        self.route.own().time.note(peer.at);
        self.lease = peer.lease;
        self.proof = self.route.site().hold(self.link.peer(), peer)?;
        Ok(())
    }
}

impl Outbound {
    /// What the peer said it is, it is not any more, or it does not want us: nothing rests on it from now on.
    fn forget(&self, proof: &Arc<Proof>) {
        self.site().forget(proof);
    }
}

/// Whether somebody decided; what broke by itself is tried again.
fn refused(why: &PeerError) -> bool {
    !matches!(
        why,
        PeerError::Tls(_)
            | PeerError::Deadline { .. }
            | PeerError::Device(_)
            | PeerError::Unreachable(_)
            | PeerError::TooOften
    )
}

/// Dials until the peer is proved again, or its lease is over. What another enclave answers becomes known as well.
async fn again(route: &Arc<Outbound>, proof: &Arc<Proof>) {
    let mut backoff = Backoff::default();
    while proof.lives(Instant::now()) && !proof.end_if_idle(IDLE) {
        let proved = async {
            let link = route.connect().await?;
            let same = link.peer() == proof.key();
            if !same && route.site().proof(&link.peer()).is_some() {
                return Ok(false);
            }
            route.prove(link).await.map(|()| same)
        };
        match proved.await {
            Ok(true) => return,
            Ok(false) => {}
            Err(why) => {
                debug!(code = why.code(), site = %route.site().name(), "not proved again: {}", chain(&why))
            }
        }
        sleep(backoff.fail(Fraction::random())).await;
    }
}

fn gone(site: &super::Site, proof: &Proof) -> PeerError {
    match site.judge(proof) {
        Err(why) => why,
        Ok(()) => PeerError::Stopping,
    }
}

/// So long after its last channel a peer is kept proved, so that the next one costs no documents.
const IDLE: Duration = Duration::from_secs(120);
