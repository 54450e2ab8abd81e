use std::{fmt, io, sync::Arc};

use countersign_protocol::Destination;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    device::Device,
    egress::Egress,
    kms::{
        Callers, CredentialError, CredentialSource, Credentials, CredentialsEndpoint, Imds, KmsConfig,
        KmsEndpoint, KmsError, KmsLimits, ProxyIssuer, keep_issued,
    },
    manifest::{CredentialsFrom, KmsEntry},
};

/// What the application's environment needs to find the endpoints.
pub(super) type Variables = Vec<(&'static str, String)>;

/// Starts the KMS endpoint of a manifest. Credentials that are fetched are offered to the application's SDKs too;
/// wherever they come from, a call must be signed with them. `issuers` has one for each proxy of the manifest.
///
/// # Errors
/// [`KmsStartError`].
pub(super) async fn start(
    entry: KmsEntry,
    issuers: Vec<ProxyIssuer>,
    egress: &Arc<Egress>,
    device: &Device,
    stop: &CancellationToken,
) -> Result<Variables, KmsStartError> {
    let KmsEntry { port, endpoints, rules, anchors, credentials } = entry;
    let mut variables = Variables::new();
    let variable = |name: &str| std::env::var(name).ok();
    let metadata: Destination = METADATA.parse().map_err(|_| KmsStartError::Metadata)?;
    let there = There {
        variables: KEY_VARIABLES.iter().any(|name| variable(name).is_some()),
        metadata: egress.policy().judge(&metadata).is_ok(),
        proxies: issuers.len(),
    };
    let from = credentials.unwrap_or_else(|| there.choose());
    info!(?from, "AWS credentials");
    if there.variables && from != CredentialsFrom::Environment {
        warn!(code = "credentials-in-the-way", "{IN_THE_WAY}");
    }
    let (publish, source) = CredentialSource::published();
    match (from, issuers.into_iter().next()) {
        (CredentialsFrom::Environment, _) => {
            publish.publish(Credentials::from_variables(variable).map_err(KmsStartError::Credentials)?);
            let stop = stop.clone();
            // Static ones stay for as long as the program runs.
            tokio::spawn(async move {
                stop.cancelled().await;
                drop(publish);
            });
        }
        (CredentialsFrom::Proxy, Some(issuer)) => {
            tokio::spawn(keep_issued(issuer, publish, stop.clone()));
            variables.extend(offer(&source, stop).await?);
        }
        (CredentialsFrom::Proxy, None) => return Err(KmsStartError::NoProxy),
        (CredentialsFrom::Instance, _) => {
            tokio::spawn(keep_issued(Imds::new(egress.clone(), metadata), publish, stop.clone()));
            variables.extend(offer(&source, stop).await?);
        }
    }
    let credentials = source;
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

/// Lets the application's SDKs find the newest credentials; the variables that tell them where.
async fn offer(
    source: &CredentialSource,
    stop: &CancellationToken,
) -> Result<[(&'static str, String); 2], KmsStartError> {
    let offer = CredentialsEndpoint::bind(0).await.map_err(KmsStartError::Offer)?;
    let variables = offer.environment();
    tokio::spawn(offer.serve(source.clone(), stop.clone()));
    Ok(variables)
}

/// What credentials could come from.
#[derive(Clone, Copy)]
struct There {
    /// One of the key variables is set.
    variables: bool,
    /// The egress policy lets the metadata service's address pass: somebody named it.
    metadata: bool,
    /// Proxies of the manifest.
    proxies: usize,
}

impl There {
    /// Where the manifest does not say: what was given, or was made reachable on purpose, before the proxy that is
    /// there anyway.
    fn choose(self) -> CredentialsFrom {
        match self {
            Self { variables: true, .. } => CredentialsFrom::Environment,
            Self { metadata: true, .. } => CredentialsFrom::Instance,
            Self { proxies: 1, .. } => CredentialsFrom::Proxy,
            // There is no way to it, and the log says so.
            Self { .. } => CredentialsFrom::Instance,
        }
    }
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
    /// Credentials of a proxy, and the manifest has none.
    NoProxy,
    /// The metadata service's address is none.
    Metadata,
}

impl fmt::Display for KmsStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credentials(_) => "the AWS credentials of the environment cannot be used",
            Self::Offer(_) => "AWS credentials cannot be offered to the application",
            Self::Endpoint(_) => "the KMS endpoint does not start",
            Self::NoProxy => "AWS credentials come from the proxy, and the manifest has none",
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
            Self::NoProxy | Self::Metadata => None,
        }
    }
}

/// One of them alone is a mistake, and said to be one.
const KEY_VARIABLES: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// Of the EC2 instance metadata service, over IPv4.
const METADATA: &str = "169.254.169.254:80";

const IN_THE_WAY: &str = "the environment has AWS credentials too: SDKs look there first, and calls that are signed \
                          with them are refused";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_goes_before_what_is_there_anyway() {
        let choose = |variables, metadata, proxies| There { variables, metadata, proxies }.choose();
        assert_eq!(choose(true, true, 1), CredentialsFrom::Environment);
        assert_eq!(choose(false, true, 1), CredentialsFrom::Instance);
        assert_eq!(choose(false, false, 1), CredentialsFrom::Proxy);
        assert_eq!(choose(false, false, 0), CredentialsFrom::Instance);
        assert_eq!(choose(false, false, 2), CredentialsFrom::Instance, "nobody said which");
    }
}
