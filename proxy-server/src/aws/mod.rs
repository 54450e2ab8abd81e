//! What everything that asks AWS shares: where a service is asked, and with what manners.
//!
//! The SDK itself is there only with the cargo feature `aws`. It speaks TLS through rustls and AWS-LC like the
//! rest of the program, and looks for its credentials where AWS's SDKs do: environment, configuration files,
//! web identity, ECS and EKS, the instance's role.

mod endpoint;
mod region;
#[cfg(feature = "aws")]
mod sdk;

pub use endpoint::{AwsEndpoint, BadEndpoint};
pub use region::{AwsRegion, BadRegion};
#[cfg(feature = "aws")]
pub(crate) use sdk::{Manners, sdk_config};
