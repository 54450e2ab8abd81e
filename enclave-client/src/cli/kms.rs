use std::{fmt, io, sync::Arc};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    device::Device,
    egress::Egress,
    kms::{
        Callers, CredentialError, CredentialSource, Credentials, CredentialsEndpoint, Imds, KmsConfig,
        KmsEndpoint, KmsError, KmsLimits, keep_issued,
    },
    manifest::KmsEntry,
};

/// What the application's environment needs to find the endpoints.
pub(super) type Variables = Vec<(&'static str, String)>;

/// Starts the KMS endpoint of a manifest. Its credentials are those of the
/// environment; without any, those of the parent instance's role, which the
/// application's SDKs are then offered too. Both ways a call must be signed with them.
///
/// # Errors
/// [`KmsStartError`].
pub(super) async fn start(
    entry: KmsEntry,
    egress: &Arc<Egress>,
    device: &Device,
    stop: &CancellationToken,
) -> Result<Variables, KmsStartError> {
    let KmsEntry { port, endpoints, rules, anchors } = entry;
    let mut variables = Variables::new();
    let variable = |name: &str| std::env::var(name).ok();
    let credentials = if KEY_VARIABLES.iter().any(|name| variable(name).is_some()) {
        CredentialSource::fixed(Credentials::from_variables(variable).map_err(KmsStartError::Credentials)?)
    } else {
        let (publish, newest) = watch::channel(None);
        let at = METADATA.parse().map_err(|_| KmsStartError::Metadata)?;
        tokio::spawn(keep_issued(Imds::new(egress.clone(), at), publish, stop.clone()));
        let source = CredentialSource::published(newest);
        let offer = CredentialsEndpoint::bind(0).await.map_err(KmsStartError::Offer)?;
        variables.extend(offer.environment());
        tokio::spawn(offer.serve(source.clone(), stop.clone()));
        source
    };
    let config = KmsConfig {
        port: port.get(),
        endpoints,
        anchors,
        callers: Callers::Signed(credentials.clone()),
        credentials,
        rules,
        limits: KmsLimits::default(),
    };
    let endpoint =
        KmsEndpoint::bind(config, egress.clone(), device.clone()).await.map_err(KmsStartError::Endpoint)?;
    info!(address = %endpoint.address(), "KMS endpoint listens");
    variables.extend(endpoint.environment());
    tokio::spawn(endpoint.serve(stop.clone()));
    Ok(variables)
}

/// Why there is no endpoint.
#[derive(Debug)]
pub enum KmsStartError {
    /// The environment has credentials, and they are not whole.
    Credentials(CredentialError),
    /// Credentials cannot be offered.
    Offer(io::Error),
    /// The endpoint itself.
    Endpoint(KmsError),
    /// The metadata service's address is none.
    Metadata,
}

impl fmt::Display for KmsStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credentials(_) => "the AWS credentials of the environment cannot be used",
            Self::Offer(_) => "AWS credentials cannot be offered to the application",
            Self::Endpoint(_) => "the KMS endpoint does not start",
            Self::Metadata => "the metadata service has no address",
        })
    }
}

impl std::error::Error for KmsStartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Credentials(why) => Some(why),
            Self::Offer(why) => Some(why),
            Self::Endpoint(why) => Some(why),
            Self::Metadata => None,
        }
    }
}

/// One of them alone is a mistake, and said to be one.
const KEY_VARIABLES: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// Of the EC2 instance metadata service, over IPv4.
const METADATA: &str = "169.254.169.254:80";
