use std::{
    io,
    num::NonZeroU16,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    COMPLAIN_EVERY, IngressLimits,
    budget::Budget,
    carry::{self, First},
    outside::Outside,
    tls::{Ending, Terminator},
    waiting::{Seat, WaitingRoom},
};
use crate::{
    relay::{Early, Report, Side, relay},
    transport::{Listener, Setbacks, Stream},
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
        let mut setbacks = Setbacks::default();
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok(stream) => {
                    setbacks.over();
                    self.admit(stream, &stop);
                }
                Err(why) => {
                    let place = format!("ingress port {}", self.port.number);
                    stop.run_until_cancelled(setbacks.wait(place, &why)).await;
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

    async fn carry_plain(&self, stream: Stream, _permit: OwnedSemaphorePermit) {
        self.relay(stream, Bytes::new()).await;
    }

    async fn carry_tls(&self, stream: Stream, seat: Seat) {
        let Ending::Tls(terminator) = &self.ending else { return };
        let (stream, early) = match seat.keep_during(self.greet(terminator, stream)).await {
            Some(Ok((stream, First::Application(early)))) => (stream, early),
            Some(Ok((_, First::Ended))) => return,
            Some(Err(why)) => return debug!(port = %self.number, "no TLS with a caller: {why}"),
            None => return debug!(port = %self.number, "a caller that waited too long made room"),
        };
        let Some(_permit) = self.permit() else { return };
        drop(seat);
        self.relay(Outside::new(stream), early.freeze()).await;
    }

    /// Handshake, and the look at the first bytes where they may be for us.
    async fn greet(&self, terminator: &Terminator, stream: Stream) -> io::Result<(TlsStream<Stream>, First)> {
        let mut stream = timeout(self.limits.handshake, terminator.handshake(stream)).await??;
        let first = match terminator.asks(&stream) {
            None => First::Application(BytesMut::new()),
            Some(attested) => carry::first_bytes(&mut stream, attested, self.limits.first_bytes).await?,
        };
        Ok((stream, first))
    }

    async fn relay<S: Side>(&self, mut outside: S, early: Bytes) {
        let application = match carry::connect(self.number.get()).await {
            Ok(application) => application,
            Err(why) => {
                self.note(false, Some(&why));
                return carry::close(&mut outside).await;
            }
        };
        self.note(true, None);
        let early = Early { up: early, down: Bytes::new() };
        let Report { end, up, down } = relay(outside, application, early, None).await;
        debug!(port = %self.number, up, down, "ingress connection ended: {end}");
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
