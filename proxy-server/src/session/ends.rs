use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use countersign_protocol::SessionId;

use super::{EndReason, Session, Sessions, record::Renewed};
use crate::policy::Workload;

/// A session that is no more, as the audit keeps it.
#[derive(Clone, Debug)]
pub struct SessionEnd {
    /// Its id.
    pub id: SessionId,
    /// Its workload as of its last attestation.
    pub workload: Arc<Workload>,
    /// The measurement it matched.
    pub measurement: Arc<str>,
    /// Why it is over.
    pub reason: EndReason,
    /// How many tunnels it had here.
    pub tunnels: usize,
}

/// Who is told of ends, if anybody is.
#[derive(Default)]
pub(super) struct Witness(OnceLock<Box<Tell>>);

type Tell = dyn Fn(Vec<SessionEnd>) + Send + Sync;

impl Sessions {
    /// Tells `tell` of each end, after its tunnels were woken. Of the replicas
    /// that know a session, the one that admitted or renewed it last does, so that
    /// an end is told once where each of them knows who did; an end that reaches two
    /// of them before they know is told by both. Not told: a process that stops, whose
    /// sessions go on elsewhere or after its restart, and what becomes of them unless
    /// another replica renews them first; and a session that its enclave was never given, since
    /// its admission was not recorded. The first witness stays.
    pub fn witness_ends(&self, tell: impl Fn(Vec<SessionEnd>) + Send + Sync + 'static) {
        // Only the process that starts sets one; a second would be a mistake of no consequence.
        let _ = self.registry().witness.0.set(Box::new(tell));
    }
}

impl Witness {
    /// The end of a session as it will be told; `None` when nobody is, or it is not ours to tell.
    pub(super) fn note(&self, session: &Session, reason: EndReason, tunnels: usize) -> Option<SessionEnd> {
        let ours = self.0.get().is_some()
            && !matches!(reason, EndReason::Draining | EndReason::NotRecorded)
            && session.state().renewed == Renewed::Here;
        ours.then(|| SessionEnd {
            id: session.id(),
            workload: session.workload(),
            measurement: Arc::clone(session.measurement()),
            reason,
            tunnels,
        })
    }

    pub(super) fn tell(&self, ends: Vec<SessionEnd>) {
        if let Some(tell) = self.0.get()
            && !ends.is_empty()
        {
            tell(ends);
        }
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Witness").field(&self.0.get().is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, ready},
        pin::Pin,
        sync::Mutex,
        time::Duration,
    };

    use tokio::time::{Instant, sleep};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::session::{
        LastLook,
        model::{admission, registry},
    };

    /// What was told so far: id, reason, tunnels.
    type Told = Arc<Mutex<Vec<(SessionId, EndReason, usize)>>>;

    fn witnessed(sessions: &Sessions) -> Told {
        let told = Told::default();
        let heard = Arc::clone(&told);
        sessions.witness_ends(move |ends| {
            heard.lock().unwrap().extend(ends.into_iter().map(|end| (end.id, end.reason, end.tunnels)));
        });
        told
    }

    /// Finds in the store that another replica renewed whatever is asked for.
    struct RenewedElsewhere(Sessions);

    impl LastLook for RenewedElsewhere {
        fn look<'a>(&'a self, due: &'a [SessionId]) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
            for id in due {
                self.0.follow(id, admission(1, 2, 30), Instant::now() + Duration::from_secs(30));
            }
            Box::pin(ready(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_lapse_of_a_copy_is_no_end_of_the_session() {
        let sessions = registry(1);
        let told = witnessed(&sessions);
        let session = sessions.admit(admission(1, 1, 30), Instant::now()).unwrap().session;
        let stop = CancellationToken::new();
        let look = Arc::new(RenewedElsewhere(sessions.clone()));
        let lapsing = tokio::spawn(sessions.clone().lapse_loop(look, stop.clone()));
        // Nobody has a tunnel here. The first lapse finds the renewal, the second is the copy's alone.
        sleep(Duration::from_secs(45)).await;
        assert_eq!(session.ended(), None);
        sleep(Duration::from_secs(45)).await;
        assert_eq!(session.ended(), Some(EndReason::LeaseLapsed));
        assert_eq!(told.lock().unwrap().len(), 0, "it lives elsewhere");
        stop.cancel();
        lapsing.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_end_is_told_once_and_with_its_reason() {
        let sessions = registry(2);
        let told = witnessed(&sessions);
        let admit = |key| sessions.admit(admission(key, 1, 30), Instant::now()).unwrap().session;
        let (one, two) = (admit(1), admit(2));
        let _tunnel = one.register_tunnel().unwrap();
        sessions.end(&one.id(), EndReason::EndedByAdmin);
        sessions.end(&one.id(), EndReason::MeasurementRevoked);
        assert_eq!(*told.lock().unwrap(), [(one.id(), EndReason::EndedByAdmin, 1)]);
        sessions.end_where(EndReason::Draining, |_| true);
        assert_eq!(two.ended(), Some(EndReason::Draining));
        assert_eq!(told.lock().unwrap().len(), 1, "a stop is no end of a session");
    }
}
