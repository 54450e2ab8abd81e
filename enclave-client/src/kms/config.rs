use std::time::Duration;

use super::{CredentialSource, Endpoints, Rules, recipient::RecipientLimits};
use crate::tls::Anchors;

/// All that a KMS endpoint must know.
#[derive(Clone, Debug)]
pub struct KmsConfig {
    /// Port on `127.0.0.1`; 0: any free one.
    pub port: u16,
    /// Where KMS is.
    pub endpoints: Endpoints,
    /// Whom its certificate must come from: [`Anchors::bundled`] for AWS's own endpoints.
    pub anchors: Anchors,
    /// With what its requests are signed.
    pub credentials: CredentialSource,
    /// Who may call.
    pub callers: Callers,
    /// What they may ask.
    pub rules: Rules,
    /// Times and sizes.
    pub limits: KmsLimits,
}

/// Whose calls are taken.
#[derive(Clone, Debug)]
pub enum Callers {
    /// Only those who hold these credentials: each signature is checked. For credentials that this program
    /// made or fetched, and gave to the application.
    Signed(CredentialSource),
    /// Every process inside the enclave, whatever it signed with: the application has credentials of its
    /// own, which this program need not know.
    AnyInside,
}

/// The bounds of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct KmsLimits {
    /// Connections of the application at a time; the next one waits to be accepted.
    pub connections: usize,
    /// Bytes of a request and of an answer.
    pub body: usize,
    /// For a request's head to come whole; how long an idle connection is kept, too.
    pub head_deadline: Duration,
    /// For a call, from its head to its answer.
    pub call_deadline: Duration,
    /// Idle connections to KMS that are kept.
    pub kept: usize,
    /// How long they are kept.
    pub kept_for: Duration,
    /// The recipient key and its documents.
    pub recipient: RecipientLimits,
}

impl Default for KmsLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            body: 1024 * 1024,
            head_deadline: Duration::from_secs(60),
            call_deadline: Duration::from_secs(30),
            kept: 32,
            kept_for: Duration::from_secs(30),
            recipient: RecipientLimits::default(),
        }
    }
}
