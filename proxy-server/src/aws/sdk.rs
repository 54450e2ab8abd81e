use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};

use super::AwsEndpoint;

/// How patient the SDK is with a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// How often one request is tried.
    pub(crate) attempts: u32,
    /// How long one try may take.
    pub(crate) attempt: Duration,
}

/// The SDK's configuration for a region, or for the endpoint that takes its place. This may look for credentials
/// where looking takes a while: whoever calls has a deadline.
pub(crate) async fn sdk_config(region: &str, endpoint: Option<&AwsEndpoint>, manners: Manners) -> SdkConfig {
    let Manners { attempts, attempt } = manners;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .retry_config(RetryConfig::standard().with_max_attempts(attempts))
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(attempt).build());
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint.as_str());
    }
    loader.load().await
}
