use std::fmt;

use countersign_protocol::SessionId;
use tokio::{
    sync::watch,
    time::{Duration, Instant, timeout},
};
use tracing::info;

use super::{Credentials, Issuer};
use crate::attest::{AttestError, ProxySite, Remedy, Site, Status, Trouble, chain};

/// The attestation proxy, which assumes a role for this enclave's workload at AWS STS.
///
/// It is asked on a connection of its own, so that a slow STS never delays an attestation. The connection proves the
/// same key K as the one that attested, and the proxy gives the credentials of K's session to nobody else.
pub struct ProxyIssuer {
    site: ProxySite,
    status: watch::Receiver<Status>,
}

impl ProxyIssuer {
    /// `status` is that of the keeper that attests to `site`.
    pub fn new(site: ProxySite, status: watch::Receiver<Status>) -> Self {
        Self { site, status }
    }

    async fn ask(&self) -> Result<Credentials, ProxyIssueError> {
        let session = self.session().await?;
        let mut last = None;
        for address in self.site.resolve().await.map_err(ProxyIssueError::Asked)? {
            let asked = async { self.site.connect(&address).await?.credentials(session).await };
            match asked.await {
                Ok(credentials) => return Ok(credentials),
                // A decision: another replica would decide alike.
                Err(error) if error.remedy() == Remedy::Wait => return Err(ProxyIssueError::Asked(error)),
                Err(error) => {
                    info!(code = error.code(), %address, "no AWS credentials here: {}", chain(&error));
                    last = Some(error);
                }
            }
        }
        Err(last.map_or(ProxyIssueError::Deadline, ProxyIssueError::Asked))
    }

    /// The session, as soon as there is one.
    async fn session(&self) -> Result<SessionId, ProxyIssueError> {
        let mut status = self.status.clone();
        let stands = |status: &Status| status.session(Instant::now()).is_ok();
        let waited = timeout(FOR_A_SESSION, status.wait_for(stands)).await;
        let found = waited.ok().and_then(Result::ok);
        let found = found.and_then(|status| status.session(Instant::now()).ok().map(|found| found.session));
        found.ok_or_else(|| ProxyIssueError::NotAttested(self.status.borrow().trouble().clone()))
    }
}

impl Issuer for ProxyIssuer {
    type Error = ProxyIssueError;

    async fn issue(&self) -> Result<Credentials, ProxyIssueError> {
        timeout(DEADLINE, self.ask()).await.map_err(|_| ProxyIssueError::Deadline)?
    }
}

/// Why the proxy gave no credentials.
#[derive(Debug)]
pub enum ProxyIssueError {
    /// There is no session to ask with.
    NotAttested(Trouble),
    /// It refused, or was not reached.
    Asked(AttestError),
    /// Too slow.
    Deadline,
}

impl fmt::Display for ProxyIssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAttested(trouble) => write!(f, "the enclave is not attested: {trouble}"),
            Self::Asked(_) => f.write_str("the attestation proxy gave no AWS credentials"),
            Self::Deadline => f.write_str("the attestation proxy gave no AWS credentials in time"),
        }
    }
}

impl std::error::Error for ProxyIssueError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Asked(why) => Some(why),
            Self::NotAttested(_) | Self::Deadline => None,
        }
    }
}

/// For a session to stand: a first attestation takes a second.
const FOR_A_SESSION: Duration = Duration::from_secs(10);

/// For the session and all addresses together.
const DEADLINE: Duration = Duration::from_secs(40);
