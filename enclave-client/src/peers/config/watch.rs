use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{ConfigRefusal, MAX_CONFIG, Pin, Trusted, Verifiers};
use crate::{attest::chain, peers::NsmTime, regular_file::read_at_most};

/// Where a peer's configuration is, and what is believed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSource {
    /// The file.
    pub path: PathBuf,
    /// What the manifest says of it.
    pub pin: Pin,
}

/// What is in force, or why nothing is.
pub type Standing = Result<Arc<Trusted>, Arc<ConfigRefusal>>;

/// Keeps what the file says in force.
pub struct ConfigWatch {
    source: ConfigSource,
    verifiers: Verifiers,
    time: Arc<NsmTime>,
    /// The last good one, also when its time is over: its serial is the least that counts.
    accepted: Option<Arc<Trusted>>,
    /// The last good one, as long as it does not count yet.
    coming: Option<Arc<Trusted>>,
    /// What the file held when it was last looked at, so that it is judged once.
    seen: Option<Vec<u8>>,
    /// The last complaint, which is not repeated every second.
    complaint: Option<String>,
    standing: watch::Sender<Standing>,
}

impl ConfigWatch {
    /// A watch that has not looked yet: nothing is in force.
    pub fn new(
        source: ConfigSource,
        verifiers: Verifiers,
        time: Arc<NsmTime>,
    ) -> (Self, watch::Receiver<Standing>) {
        let (standing, receiver) = watch::channel(Err(Arc::new(ConfigRefusal::NotRead)));
        let (accepted, coming, seen, complaint) = (None, None, None, None);
        (Self { source, verifiers, time, accepted, coming, seen, complaint, standing }, receiver)
    }

    /// Looks at the file every second until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looking = async {
            loop {
                ticks.tick().await;
                match tokio::task::spawn_blocking(move || self.looked()).await {
                    Ok(same) => self = same,
                    Err(_) => return,
                }
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    fn looked(mut self) -> Self {
        self.look();
        self
    }

    /// Reads the file again. One that is wrong, or for later, leaves the one before in force, as long as that one's time
    /// lasts: a bad file must not end what a good one allowed, and a good one must not outlive itself.
    pub fn look(&mut self) {
        // One byte more than there may be, so that it is seen.
        match read_at_most(&self.source.path, MAX_CONFIG + 1) {
            Ok(bytes) if self.seen.as_ref() == Some(&bytes) => {}
            Ok(bytes) => {
                let read = Trusted::new(&bytes, &self.source.pin, self.accepted.as_deref(), &self.verifiers);
                self.seen = Some(bytes);
                match read {
                    Ok(trusted) => self.take(trusted),
                    Err(why) => self.complain(why),
                }
            }
            Err(why) => {
                self.seen = None;
                self.complain(ConfigRefusal::Unreadable { path: self.source.path.clone(), why });
            }
        }
        self.judge_time();
    }

    /// It is accepted when its time has come; one whose time is over is, too: its serial counts.
    fn take(&mut self, trusted: Trusted) {
        self.complaint = None;
        info!(
            code = "peer-config-read",
            serial = %trusted.serial(),
            peer = %trusted.config().fields().name,
            measurements = trusted.config().fields().measurements.len(),
            "{} is covered by {}", self.source.path.display(), self.source.pin
        );
        if let (Some(_), Err(why @ ConfigRefusal::NotYet { .. })) = (&self.accepted, self.counts(&trusted)) {
            self.complain(why);
        }
        self.coming = Some(Arc::new(trusted));
    }

    fn judge_time(&mut self) {
        let later = |coming: &Arc<Trusted>| match self.counts(coming) {
            Err(ConfigRefusal::NotYet { .. } | ConfigRefusal::NoTime) => true,
            Ok(()) | Err(_) => false,
        };
        if !self.coming.as_ref().is_none_or(later) {
            self.accepted = self.coming.take();
        }
        let Some(judged) = self.accepted.clone().or_else(|| self.coming.clone()) else { return };
        match self.counts(&judged) {
            Ok(()) => {
                self.standing.send_if_modified(|standing| {
                    let same = standing.as_ref().is_ok_and(|in_force| Arc::ptr_eq(in_force, &judged));
                    if !same {
                        *standing = Ok(judged);
                    }
                    !same
                });
            }
            Err(why) => {
                let before = self.standing.borrow().as_ref().err().map(|why| why.code());
                if before != Some(why.code()) {
                    error!(code = why.code(), "{}: {}", self.source.path.display(), chain(&why));
                    drop(self.standing.send_replace(Err(Arc::new(why))));
                }
            }
        }
    }

    fn counts(&self, trusted: &Trusted) -> Result<(), ConfigRefusal> {
        let now = self.time.now_secs().ok_or(ConfigRefusal::NoTime)?;
        trusted.counts_at(now)
    }

    fn complain(&mut self, why: ConfigRefusal) {
        let complaint = chain(&why);
        if self.complaint.as_ref() == Some(&complaint) {
            return;
        }
        let path = self.source.path.display();
        match &self.accepted {
            Some(accepted) => {
                error!(code = why.code(), "{path}: {complaint}; serial {} stays in force", accepted.serial())
            }
            None => {
                error!(code = why.code(), "{path}: {complaint}; this peer is not served");
                drop(self.standing.send_replace(Err(Arc::new(why))));
            }
        }
        self.complaint = Some(complaint);
    }
}

const EVERY: Duration = Duration::from_secs(1);
