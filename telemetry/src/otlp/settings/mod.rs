//! What an exporter must know: where to, as whom, how often.

mod endpoint;
mod environment;
mod error;
mod headers;
mod resource;

use std::time::Duration;

use rustls_pki_types::CertificateDer;

pub use endpoint::{Endpoint, Security};
pub use environment::Environment;
pub use error::BadSetting;
pub use headers::Headers;
pub use resource::Resource;

use crate::Ratio;

/// What an exporter must know. All of it was checked when its parts were read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The collector.
    pub endpoint: Endpoint,
    /// Sent with each request; often a key.
    pub headers: Headers,
    /// Which program tells this.
    pub resource: Resource,
    /// Which traces that begin here are recorded.
    pub ratio: Ratio,
    /// Between two readings of all figures.
    pub interval: Duration,
    /// Whom a collector's certificate must come from, where the endpoint is `https`.
    pub anchors: Anchors,
}

impl Settings {
    /// To this collector, with everything else as it is when nobody says.
    pub fn new(endpoint: Endpoint, resource: Resource) -> Self {
        Self {
            endpoint,
            headers: Headers::default(),
            resource,
            ratio: Ratio::ALL,
            interval: Self::INTERVAL,
            anchors: Anchors::Public,
        }
    }

    /// OpenTelemetry's own.
    pub const INTERVAL: Duration = Duration::from_secs(60);
}

/// Whom a collector's certificate must come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchors {
    /// The roots that browsers know.
    Public,
    /// These and no other.
    Only(Vec<CertificateDer<'static>>),
}
