use std::{
    io,
    num::NonZeroU16,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    IngressLimits,
    budget::Budget,
    carry::{self, First},
    tls::{Ending, Terminator},
    waiting::{Seat, WaitingRoom},
};
use crate::{
    attest::Backoff,
    random::Fraction,
    transport::{Listener, Stream},
};

/// Accepts on one port; every connection lives in a task of its own.
pub(super) struct Door {
    listener: Listener,
    port: Arc<Port>,
}

impl Door {
    pub(super) fn new(listener: Listener, port: Port) -> Self {
        Self { listener, port: Arc::new(port) }
    }

    /// Serves until `stop`, which ends every connection as well.
    pub(super) async fn serve(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::default();
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok(stream) => {
                    backoff.reset();
                    self.admit(stream, &stop);
                }
                Err(why) => {
                    // Out of descriptors, most likely: they come back when connections end.
                    let pause = backoff.fail(Fraction::random());
                    warn!(code = "ingress-accept-failed", "accept failed, again in {pause:?}: {why}");
                    stop.run_until_cancelled(sleep(pause)).await;
                }
            }
        }
    }

    /// Takes the place that bounds the task before there is a task.
    fn admit(&self, stream: Stream, stop: &CancellationToken) {
        let (port, stop) = (self.port.clone(), stop.clone());
        match &self.port.ending {
            Ending::Passthrough => {
                let Some(permit) = self.port.permit() else { return };
                tokio::spawn(async move {
                    stop.run_until_cancelled(port.carry_plain(stream, permit)).await;
                });
            }
            Ending::Tls(_) => {
                let seat = self.port.waiting.enter();
                tokio::spawn(async move { stop.run_until_cancelled(port.carry_tls(stream, seat)).await });
            }
        }
    }
}

/// One port of the manifest.
pub(super) struct Port {
    number: NonZeroU16,
    ending: Ending,
    room: Arc<Semaphore>,
    waiting: Arc<WaitingRoom>,
    limits: IngressLimits,
    /// Whether the application took the last connection; its change is worth a line, each failure is not.
    answers: AtomicBool,
    complaints: Budget,
}

impl Port {
    pub(super) fn new(
        number: NonZeroU16,
        ending: Ending,
        room: Arc<Semaphore>,
        waiting: Arc<WaitingRoom>,
        limits: IngressLimits,
    ) -> Self {
        let complaints = Budget::new(COMPLAIN_EVERY, 1);
        Self { number, ending, room, waiting, limits, answers: AtomicBool::new(true), complaints }
    }

    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = self.room.clone().try_acquire_owned().ok();
        if permit.is_none() && self.complaints.take(Instant::now()) {
            let most = self.limits.connections;
            warn!(code = "ingress-full", port = %self.number, "{most} connections are carried, the limit: more are closed");
        }
        permit
    }

    async fn carry_plain(&self, mut stream: Stream, _permit: OwnedSemaphorePermit) {
        if self.relay(&mut stream, &[]).await.is_err()
            && let Stream::Tcp(tcp) = &stream
        {
            // Best effort, as on the other side: the caller must not take a broken answer for a whole one.
            let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
        }
    }

    async fn carry_tls(&self, stream: Stream, seat: Seat) {
        let Ending::Tls(terminator) = &self.ending else { return };
        let (mut stream, early) = match seat.keep_during(self.greet(terminator, stream)).await {
            Some(Ok((stream, First::Application(early)))) => (stream, early),
            Some(Ok((_, First::Ended))) => return,
            Some(Err(why)) => return debug!(port = %self.number, "no TLS with a caller: {why}"),
            None => return debug!(port = %self.number, "a caller that waited too long made room"),
        };
        let Some(_permit) = self.permit() else { return };
        drop(seat);
        // When it breaks, no close_notify is sent: that is how TLS says "truncated" (RFC 8446 section 6.1).
        let _ = self.relay(&mut stream, &early).await;
    }

    /// Handshake, and the look at the first bytes where they may be for us.
    async fn greet(&self, terminator: &Terminator, stream: Stream) -> io::Result<(TlsStream<Stream>, First)> {
        let mut stream = timeout(self.limits.handshake, terminator.handshake(stream)).await??;
        let first = match terminator.asks(&stream) {
            None => First::Application(bytes::BytesMut::new()),
            Some(attested) => carry::first_bytes(&mut stream, attested, self.limits.first_bytes).await?,
        };
        Ok((stream, first))
    }

    async fn relay<S>(&self, outside: &mut S, early: &[u8]) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let application = match carry::connect(self.number.get()).await {
            Ok(application) => application,
            Err(why) => {
                self.note(false, Some(&why));
                carry::close(outside).await;
                return Ok(());
            }
        };
        self.note(true, None);
        match carry::relay(outside, application, early).await {
            Ok((inward, outward)) => {
                debug!(port = %self.number, inward, outward, "ingress connection ended");
                Ok(())
            }
            Err(why) => {
                debug!(port = %self.number, "ingress connection broke: {why}");
                Err(why)
            }
        }
    }

    fn note(&self, answers: bool, why: Option<&io::Error>) {
        if self.answers.swap(answers, Ordering::Relaxed) == answers {
            return;
        }
        match why {
            None => {
                info!(code = "ingress-application-back", port = %self.number, "the application takes connections again")
            }
            Some(why) => warn!(
                code = "ingress-application-away",
                port = %self.number,
                "the application does not take connections at 127.0.0.1:{}: {why}", self.number
            ),
        }
    }
}

/// Between two lines about the same trouble.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
