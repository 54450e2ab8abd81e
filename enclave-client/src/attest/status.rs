use std::{fmt, sync::Arc};

use countersign_protocol::{Epoch, Lease, SessionId};
use rustls::ClientConfig;
use tokio::time::Instant;

use super::{AttestError, error::chain};
use crate::transport::Address;

/// Where one proxy's attestation stands. Published by a [`super::Keeper`], read by pool and local proxy.
#[derive(Clone, Debug)]
pub struct Status {
    session: Option<Arc<Attested>>,
    trouble: Trouble,
}

/// A session, as long as `until`.
pub struct Attested {
    /// Its id; kept when the session attests again.
    pub session: SessionId,
    /// The lease given.
    pub lease: Lease,
    /// The policy epoch that admitted this enclave.
    pub epoch: Epoch,
    /// When the lease was asked for: the proxy counts from a later moment.
    pub asked_at: Instant,
    /// Where the gateway of the proxy that attested listens, if the address tells.
    pub gateway: Option<Address>,
    /// TLS with the granted certificate, ALPN `http/1.1`.
    pub http1: Arc<ClientConfig>,
    /// TLS with the granted certificate, ALPN `h2`.
    pub http2: Arc<ClientConfig>,
}

/// Why there is no session, or why the next one is in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The last attempt succeeded.
    Nothing,
    /// No attempt is finished yet.
    Starting,
    /// The last attempt failed.
    Failed {
        /// [`AttestError::code`].
        code: String,
        /// One sentence; for a refusal the proxy's own.
        detail: String,
        /// Finds the decision in the proxy's log, where there was one.
        request_id: Option<String>,
    },
}

impl Status {
    /// Before the first attempt.
    pub fn starting() -> Self {
        Self { session: None, trouble: Trouble::Starting }
    }

    /// The session, if its lease lasts beyond `now`.
    ///
    /// # Errors
    /// [`Trouble`]: why there is none.
    pub fn session(&self, now: Instant) -> Result<&Arc<Attested>, &Trouble> {
        self.session.as_ref().filter(|attested| now < attested.until()).ok_or(&self.trouble)
    }

    /// The outcome of the last attempt.
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// Whether the session, whatever its lease, is this one.
    pub(super) fn is_of(&self, session: SessionId) -> bool {
        self.session.as_ref().is_some_and(|attested| attested.session == session)
    }

    pub(super) fn granted(&mut self, attested: Arc<Attested>) {
        self.session = Some(attested);
        self.trouble = Trouble::Nothing;
    }

    /// A failure leaves the session alone: its lease goes on.
    pub(super) fn failed(&mut self, error: &AttestError) {
        self.trouble = match error {
            AttestError::Refused(problem) => Trouble::Failed {
                code: problem.code.clone().into_owned(),
                detail: problem.detail.clone(),
                request_id: Some(problem.request_id.clone()),
            },
            other => {
                Trouble::Failed { code: other.code().to_owned(), detail: chain(other), request_id: None }
            }
        };
    }
}

impl Attested {
    /// The end of the lease, never later than the proxy's own idea of it.
    pub fn until(&self) -> Instant {
        self.asked_at + self.lease.duration()
    }
}

impl fmt::Debug for Attested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attested")
            .field("session", &self.session)
            .field("lease", &self.lease)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Read only when a lease lapsed without a failure: the attempt is still under way.
            Self::Nothing => f.write_str("the lease lapsed and the next attestation is under way"),
            Self::Starting => f.write_str("the first attestation is under way"),
            Self::Failed { code, detail, .. } => write!(f, "{detail} ({code})"),
        }
    }
}
