//! A port where peers call, in front of one of the application's.

use std::{
    io,
    num::NonZeroU16,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use countersign_protocol::peer::Opening;
use tokio::{
    io::AsyncReadExt,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tracing::{debug, info, warn};

use super::{Channel, Judge, Own, PeerError, Proof, ProtocolFault, Proven, Secured, Site, exchange, frames};
use crate::{
    attest::chain,
    ingress::{
        budget::Budget,
        carry,
        waiting::{Seat, WaitingRoom},
    },
    relay::{Early, End, Report, relay},
    transport::{Listener, Setbacks, Stream},
};

/// The bounds of all such ports together.
#[derive(Clone, Debug)]
pub struct InboundLimits {
    /// Connections that are carried or prove, at a time; the next one is closed.
    connections: Arc<Semaphore>,
    /// Those that have not proved anything yet; the next one pushes the oldest out.
    waiting: Arc<WaitingRoom>,
    /// Documents for strangers: the device serves one request at a time, and our own sessions need it too.
    strangers: Arc<Budget>,
}

impl Default for InboundLimits {
    fn default() -> Self {
        Self {
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            waiting: Arc::new(WaitingRoom::new(512)),
            strangers: Arc::new(Budget::new(EVERY, BURST)),
        }
    }
}

/// One port.
pub struct Inbound {
    application: NonZeroU16,
    site: Arc<Site>,
    own: Own,
    limits: InboundLimits,
    /// Whether the application took the last connection; its change is worth a line, each failure is not.
    answers: AtomicBool,
    complaints: Budget,
}

impl Inbound {
    /// A port that leads to 127.0.0.1:`application`.
    pub fn new(application: NonZeroU16, site: Arc<Site>, own: Own, limits: InboundLimits) -> Arc<Self> {
        let complaints = Budget::new(COMPLAIN_EVERY, BURST);
        Arc::new(Self { application, site, own, limits, answers: AtomicBool::new(true), complaints })
    }

    /// Serves until the program ends; every connection lives in a task of its own.
    pub async fn serve(self: Arc<Self>, mut listener: Listener) {
        let stop = self.own.stop.clone();
        let mut setbacks = Setbacks::default();
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok(stream) => {
                    setbacks.over();
                    let (port, seat, stop) = (self.clone(), self.limits.waiting.enter(), stop.clone());
                    tokio::spawn(async move { stop.run_until_cancelled(port.take(stream, seat)).await });
                }
                Err(why) => {
                    let place = format!("peers of {}", self.site.place());
                    stop.run_until_cancelled(setbacks.wait(place, &why)).await;
                }
            }
        }
    }

    async fn take(&self, stream: Stream, seat: Seat) {
        let site = self.site.place();
        match seat.keep_during(self.open(stream)).await {
            None => debug!(%site, "a caller that waited too long made room"),
            Some(Err(why)) => self.complain(&why),
            Some(Ok(Opened::Carry(channel, permit))) => {
                drop(seat);
                self.carry(channel, permit).await;
            }
            Some(Ok(Opened::Prove(link, proof, peer, permit))) => {
                drop(seat);
                self.site.tell_proved(&proof.key(), &peer);
                if let Err(why) = self.keep(*link, proof, *peer).await {
                    debug!(code = why.code(), %site, "the connection that proves ended: {}", chain(&why));
                }
                drop(permit);
            }
        }
    }

    /// Up to the moment at which the caller holds a proof.
    async fn open(&self, stream: Stream) -> Result<Opened, PeerError> {
        let mut link = self.own.identity.accept(stream).await?;
        let mut opening = [0];
        let read = timeout(OPENING_DEADLINE, link.stream.read_exact(&mut opening)).await;
        read.map_err(|_| PeerError::Deadline { deadline: OPENING_DEADLINE })?.map_err(PeerError::Tls)?;
        let [byte] = opening;
        let room = || {
            let permit = self.limits.connections.clone().try_acquire_owned();
            permit.map_err(|_| PeerError::Overloaded { limit: CONNECTIONS })
        };
        match Opening::from_byte(byte).ok_or(ProtocolFault::Opening { byte })? {
            Opening::Carry => {
                let proof = self.site.proofs().get(&link.peer()).ok_or(ProtocolFault::UnknownKey)?;
                let permit = self.site.admit(&proof)?;
                Ok(Opened::Carry(Box::new(Channel::new(link, permit, None)), room()?))
            }
            Opening::Prove => {
                let room = room()?;
                let (proof, peer) = self.first_round(&mut link).await?;
                Ok(Opened::Prove(Box::new(link), proof, Box::new(peer), room))
            }
        }
    }

    async fn first_round(&self, link: &mut Secured<Stream>) -> Result<(Arc<Proof>, Proven), PeerError> {
        let challenged = exchange::within(OPENING_DEADLINE, frames::read(&mut link.stream)).await?;
        let known = self.site.proofs().get(&link.peer()).is_some();
        let may = match self.site.verifier() {
            Err(why) => Err(why),
            Ok(_) if known || self.limits.strangers.take(Instant::now()) => Ok(()),
            Ok(_) => Err(PeerError::TooOften),
        };
        if let Err(why) = may {
            exchange::refuse(link, &why).await;
            return Err(why);
        }
        self.round(link, &challenged).await
    }

    async fn round(
        &self,
        link: &mut Secured<Stream>,
        challenged: &frames::Received,
    ) -> Result<(Arc<Proof>, Proven), PeerError> {
        let (site, own) = (&self.site, &self.own);
        let done = exchange::answer(link, &own.device, &**site, challenged).await.and_then(|peer| {
            own.time.note(peer.at);
            Ok((site.proofs().hold(link.peer(), &peer)?, peer))
        });
        if let Err(why) = &done {
            // First what rests on it; the caller may take its time to hear why.
            if is_another(why)
                && let Some(proof) = site.proofs().get(&link.peer())
            {
                site.proofs().forget(&proof);
            }
            exchange::refuse(link, why).await;
        }
        done
    }

    /// Answers each further round, until the caller leaves or is not served any more.
    async fn keep(
        &self,
        mut link: Secured<Stream>,
        mut proof: Arc<Proof>,
        mut peer: Proven,
    ) -> Result<(), PeerError> {
        loop {
            let cut = match self.site.cut(&proof) {
                Ok(cut) => cut,
                Err(why) => {
                    exchange::refuse(&mut link, &why).await;
                    return Err(why);
                }
            };
            let patience = peer.lease.duration();
            let challenged = tokio::select! {
                () = cut.cancelled() => {
                    let why = self.site.why_not(&proof);
                    exchange::refuse(&mut link, &why).await;
                    return Err(why);
                }
                challenged = exchange::within(patience, frames::read(&mut link.stream)) => challenged?,
            };
            (proof, peer) = self.round(&mut link, &challenged).await?;
        }
    }

    async fn carry(&self, channel: Box<Channel<Stream>>, _permit: OwnedSemaphorePermit) {
        let mut channel = *channel;
        let application = match carry::connect(self.application.get()).await {
            Ok(application) => application,
            Err(why) => {
                self.note(Some(&why));
                return carry::close(&mut channel).await;
            }
        };
        self.note(None);
        let cut = channel.cut().clone();
        let Report { end, up, down } = relay(channel, application, Early::default(), Some(&cut)).await;
        let site = self.site.place();
        match end {
            End::Cut => {
                warn!(code = "peer-cut", %site, up, down, "a peer's connection was cut: it is not proved any more")
            }
            other => debug!(%site, up, down, "a peer's connection ended: {other}"),
        }
    }

    fn note(&self, why: Option<&io::Error>) {
        if self.answers.swap(why.is_none(), Ordering::Relaxed) == why.is_none() {
            return;
        }
        let port = self.application;
        match why {
            None => info!(
                code = "peer-application-back",
                "the application takes connections at 127.0.0.1:{port} again"
            ),
            Some(why) => warn!(
                code = "peer-application-away",
                "the application does not take connections at 127.0.0.1:{port}: {why}"
            ),
        }
    }

    /// Strangers are many, and must not fill the log.
    fn complain(&self, why: &PeerError) {
        if self.complaints.take(Instant::now()) {
            warn!(code = why.code(), site = %self.site.place(), "a caller is not served: {}", chain(why));
        }
    }
}

enum Opened {
    Carry(Box<Channel<Stream>>, OwnedSemaphorePermit),
    Prove(Box<Secured<Stream>>, Arc<Proof>, Box<Proven>, OwnedSemaphorePermit),
}

/// Whether the caller showed that it is not who it must be. A connection that broke says nothing of that, and neither
/// does what the caller thinks of us: it cuts its own end.
fn is_another(why: &PeerError) -> bool {
    matches!(why, PeerError::Refused(_) | PeerError::OtherRoot)
}

/// Of all ports together.
const CONNECTIONS: usize = 8192;

/// For the first byte: the initiator may wait while somebody else of its side proves the same key.
const OPENING_DEADLINE: Duration = Duration::from_secs(30);

/// One document takes the NSM tens of milliseconds: strangers get about a third of its time.
const EVERY: Duration = Duration::from_millis(100);

/// Strangers that come at once, after a quiet time: the pods of a roll-out.
const BURST: u32 = 50;

/// Between two lines about callers that are not served.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);
