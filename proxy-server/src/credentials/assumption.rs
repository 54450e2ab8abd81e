use std::{future::Future, pin::Pin, sync::Arc};

use countersign_protocol::SessionId;
use countersign_verifier::Pcr;

use super::{Issued, Role, StsError};
use crate::policy::WorkloadName;

/// One role to be assumed for one session.
#[derive(Clone, Debug)]
pub struct Assumption {
    /// Which role, for how long, with which policy.
    pub role: Arc<Role>,
    /// For whom.
    pub session: SessionId,
    /// Its workload.
    pub workload: WorkloadName,
    /// The measurement it matched.
    pub measurement: Arc<str>,
    /// The image it runs.
    pub pcr0: Pcr,
}

impl Assumption {
    /// `RoleSessionName`: CloudTrail shows it as `assumed-role/ROLE/countersign-SESSION`, and the audit has the
    /// session. 44 of at most 64 characters.
    pub fn session_name(&self) -> String {
        format!("countersign-{}", self.session)
    }

    /// The session tags: policies read them as `aws:PrincipalTag/countersign-workload` and so on. A name has at most
    /// 64 characters, a PCR has 96; a tag's value may have 256.
    pub fn tags(&self) -> [(&'static str, String); 3] {
        [
            ("countersign-workload", self.workload.to_string()),
            ("countersign-measurement", self.measurement.to_string()),
            ("countersign-pcr0", self.pcr0.to_string()),
        ]
    }
}

/// Whoever assumes roles: STS, or what stands in for it where there is no AWS.
pub trait AssumeRole: Send + Sync + 'static {
    /// Credentials of the role, within a deadline of its own.
    fn assume<'a>(&'a self, assumption: &'a Assumption) -> Assuming<'a>;
}

/// A call on its way.
pub type Assuming<'a> = Pin<Box<dyn Future<Output = Result<Issued, StsError>> + Send + 'a>>;
