use std::time::{Duration, SystemTime};

use aws_sdk_sts::{Client, operation::assume_role::AssumeRoleOutput, types::Tag};
use tokio::time::timeout;

use super::{AssumeRole, Assuming, Assumption, Issued, StsError};
use crate::aws::{AwsEndpoint, AwsRegion, Manners, sdk_config};

/// Where STS is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsPlace {
    /// Its region.
    pub region: AwsRegion,
    /// Instead of the region's own address.
    pub endpoint: Option<AwsEndpoint>,
}

/// AWS STS. Needed of the proxy's own credentials: `sts:AssumeRole` and `sts:TagSession` on each role, whose
/// trust policies must allow both.
pub struct Sts {
    client: Client,
}

impl Sts {
    /// A client with credentials from where AWS's SDKs look for them.
    ///
    /// # Errors
    /// [`StsError::Slow`] when looking for them takes too long. Whether they are worth anything is found out by
    /// the first call.
    pub async fn open(place: &StsPlace) -> Result<Self, StsError> {
        let StsPlace { region, endpoint } = place;
        let loading = timeout(DEADLINE, sdk_config(region.as_str(), endpoint.as_ref(), MANNERS));
        let config = loading.await.map_err(|_| StsError::Slow { after: DEADLINE })?;
        Ok(Self { client: Client::new(&config) })
    }

    async fn ask(&self, assumption: &Assumption) -> Result<Issued, StsError> {
        let failed = |source| StsError::Failed { source };
        let mut request = self
            .client
            .assume_role()
            .role_arn(assumption.role.arn.as_str())
            .role_session_name(assumption.session_name())
            .policy(assumption.role.policy.as_str())
            .duration_seconds(i32::try_from(assumption.role.duration.as_secs()).unwrap_or(i32::MAX));
        for (key, value) in assumption.tags() {
            let tag = Tag::builder().key(key).value(value).build().map_err(|error| failed(error.into()))?;
            // Transitive: a role that these credentials assume in turn has the same tags, and no others of that name.
            request = request.tags(tag).transitive_tag_keys(key);
        }
        let answer = timeout(DEADLINE, request.send()).await;
        let answer = answer.map_err(|_| StsError::Slow { after: DEADLINE })?;
        issued(answer.map_err(|error| failed(error.into()))?).ok_or(StsError::Nothing)
    }
}

impl AssumeRole for Sts {
    fn assume<'a>(&'a self, assumption: &'a Assumption) -> Assuming<'a> {
        Box::pin(self.ask(assumption))
    }
}

fn issued(answer: AssumeRoleOutput) -> Option<Issued> {
    let given = answer.credentials?;
    let expires = SystemTime::try_from(given.expiration).ok().filter(|at| *at > SystemTime::now())?;
    Some(Issued::new(given.access_key_id, given.secret_access_key, given.session_token, expires))
}

const MANNERS: Manners = Manners { attempts: 2, attempt: Duration::from_secs(3) };

/// For all tries together, credentials of the proxy's own included.
const DEADLINE: Duration = Duration::from_secs(7);
