//! Keeps one peer proved, on the connection that proved it first.

use std::{pin::Pin, sync::Arc, time::Duration};

use countersign_protocol::Lease;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use super::{
    Outbound, PeerError, Proof, ProtocolFault, Proven, ROUND_DEADLINE, Secured, Site, exchange,
    exchange::within, frames,
};
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
    /// When the lease began.
    since: Instant,
}

/// Why a keeper stopped.
enum End {
    /// Nobody used the peer for a while.
    Idle,
    /// The peer is not served here any more, or does not serve us.
    Over,
    /// The connection is lost, and with it nothing else.
    Lost(PeerError),
}

impl Keeper {
    pub(super) fn new(route: Arc<Outbound>, link: Secured<Way>, proof: Arc<Proof>, peer: &Proven) -> Self {
        route.site().tell_proved(&proof.key(), peer);
        Self { route, link, proof, lease: peer.lease, since: peer.since }
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
        let site = route.site();
        match end {
            End::Idle => {
                debug!(site = %site.place(), peer = %proof.key(), "nothing rests on this peer's proof any more")
            }
            // Nobody keeps it any more.
            End::Over => site.proofs().forget(&proof),
            End::Lost(why) => {
                let code = why.code();
                debug!(code, site = %site.place(), "the connection that proves is lost: {}", chain(&why));
                stop.run_until_cancelled(again(&route, &proof)).await;
            }
        }
    }

    async fn keep(mut self) -> (Arc<Outbound>, Arc<Proof>, End) {
        let site = self.route.site().clone();
        let end = loop {
            // Each time: a round in which the peer proved other PCRs than before has made another proof.
            let cut = match site.cut(&self.proof) {
                Ok(cut) => cut,
                Err(why) => {
                    exchange::refuse(&mut self.link, &why).await;
                    break End::Over;
                }
            };
            let next = self.since + renew_after(self.lease, site.interval(), Fraction::random());
            tokio::select! {
                () = cut.cancelled() => {
                    exchange::refuse(&mut self.link, &site.why_not(&self.proof)).await;
                    break End::Over;
                }
                // Between rounds the peer says nothing but that it is over.
                said = timeout_at(next, frames::read(&mut self.link.stream)) => match said {
                    Ok(Ok(said)) => {
                        let out_of_turn = ProtocolFault::OutOfTurn { expected: "silence" };
                        break self.failed(said.message().err().unwrap_or(out_of_turn.into())).await;
                    }
                    Ok(Err(why)) => break self.failed(why).await,
                    Err(_) => {}
                },
            }
            // Ended here, and not left to lapse: a channel that came meanwhile would be cut by that.
            if self.proof.end_if_idle(IDLE) {
                break End::Idle;
            }
            let (patience, own) = (patience(&self.proof), self.route.own());
            let round = exchange::round_within(patience, &mut self.link, &own.device, &*site).await;
            if let Err(why) = round.and_then(|peer| self.renewed(&peer)) {
                break self.failed(why).await;
            }
        };
        (self.route, self.proof, end)
    }

    async fn failed(&mut self, why: PeerError) -> End {
        // First what rests on it; the peer may take its time to hear why.
        if !why.passes() {
            forget(self.route.site(), &self.proof, &why);
        }
        exchange::refuse(&mut self.link, &why).await;
        if why.passes() { End::Lost(why) } else { End::Over }
    }

    fn renewed(&mut self, peer: &Proven) -> Result<(), PeerError> {
        self.route.own().time.note(peer.at);
        (self.lease, self.since) = (peer.lease, peer.since);
        self.proof = self.route.site().proofs().hold(self.link.peer(), peer)?;
        Ok(())
    }
}

/// What the peer said it is, it is not any more, or it does not want us: nothing rests on it from now on.
fn forget(site: &Site, proof: &Arc<Proof>, why: &PeerError) {
    warn!(code = why.code(), site = %site.place(), peer = %proof.key(), "the peer is cut: {}", chain(why));
    site.proofs().forget(proof);
}

/// Dials until the peer is proved again, or its lease is over.
async fn again(route: &Arc<Outbound>, proof: &Arc<Proof>) {
    let mut backoff = Backoff::default();
    while proof.lives(Instant::now()) && !proof.end_if_idle(IDLE) {
        match within(patience(proof), once_more(route, proof)).await {
            Ok(Met::Peer) => return,
            Ok(Met::Another) => {}
            Err(why) => {
                debug!(code = why.code(), site = %route.site().place(), "not proved again: {}", chain(&why))
            }
        }
        sleep(backoff.fail(Fraction::random())).await;
    }
}

/// Who answered.
enum Met {
    /// The peer that was looked for; it is proved again, and kept so.
    Peer,
    /// Another enclave of that name, which is known now if it was not.
    Another,
}

async fn once_more(route: &Arc<Outbound>, proof: &Arc<Proof>) -> Result<Met, PeerError> {
    let link = route.connect().await?;
    if link.peer() == proof.key() {
        let proved = route.prove(link).await;
        return proved.map(|()| Met::Peer).inspect_err(|why| {
            if !why.passes() {
                forget(route.site(), proof, why);
            }
        });
    }
    if route.site().proofs().get(&link.peer()).is_none() {
        route.prove(link).await?;
    }
    Ok(Met::Another)
}

/// For one more round, or one more connection: half of what is left of the lease, so that there is time for another when
/// nobody answers on this one.
fn patience(proof: &Proof) -> Duration {
    (proof.until().saturating_duration_since(Instant::now()) / 2).min(ROUND_DEADLINE)
}

/// So long after its last channel a peer is kept proved, so that the next one costs no documents.
const IDLE: Duration = Duration::from_secs(120);
