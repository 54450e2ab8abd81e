use std::sync::Arc;

use countersign_protocol::{Deployment, LeaseBounds};
use countersign_verifier::{CacheCapacity, TrustAnchor, Verifier};
use tokio::sync::Semaphore;

use super::{
    AdminConfig,
    events::Events,
    extract::{Caller, IdempotencyKey},
    identity::Authenticator,
    problem::ApiError,
};
use crate::{
    policy::PolicyHandle,
    store::{Change, ChangeRequest, Changed, Idempotency, Mode, Precondition, Store, UnixMs},
    telemetry::Telemetry,
};

/// What the admin API is made of.
pub struct AdminParts {
    /// What it shows and changes.
    pub store: Arc<dyn Store>,
    /// The policy in force in this process.
    pub policy: PolicyHandle,
    /// Who may.
    pub authenticator: Arc<Authenticator>,
    /// The installation's name.
    pub deployment: Deployment,
    /// Under which root documents must stand.
    pub anchor: TrustAnchor,
    /// How many people besides the author must agree to what allows more.
    pub approvals: u32,
    /// Leases given here; a workload's own bounds lie inside.
    pub lease_bounds: LeaseBounds,
    /// What this process tells of itself.
    pub telemetry: Telemetry,
    /// How much the port takes on.
    pub config: AdminConfig,
}

/// What every handler has in hand.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) policy: PolicyHandle,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) deployment: Deployment,
    pub(super) approvals: u32,
    pub(super) lease_bounds: LeaseBounds,
    pub(super) telemetry: Telemetry,
    pub(super) config: AdminConfig,
    pub(super) verifier: Verifier,
    /// Documents that are verified at once: signatures are work for processors.
    pub(super) explaining: Semaphore,
    /// Requests under way.
    pub(super) requests: Arc<Semaphore>,
    /// Exports under way: each holds some rows for as long as its reader takes.
    pub(super) exports: Arc<Semaphore>,
    pub(super) events: Events,
    /// The OpenAPI document, as it is served.
    pub(super) openapi: bytes::Bytes,
}

/// How handlers know it.
pub(super) type Api = Arc<Shared>;

impl Shared {
    pub(super) fn new(parts: AdminParts, openapi: bytes::Bytes) -> Self {
        let AdminParts {
            store,
            policy,
            authenticator,
            deployment,
            anchor,
            approvals,
            lease_bounds,
            telemetry,
            config,
        } = parts;
        Self {
            events: Events::new(Arc::clone(&store), config.listeners),
            store,
            policy,
            authenticator,
            deployment,
            approvals,
            lease_bounds,
            telemetry,
            verifier: Verifier::new(anchor, CacheCapacity::default()),
            explaining: Semaphore::new(EXPLAINING),
            requests: Arc::new(Semaphore::new(config.requests as usize)),
            exports: Arc::new(Semaphore::new(config.exports as usize)),
            config,
            openapi,
        }
    }

    /// Makes one change in the caller's name.
    pub(super) async fn change(
        &self,
        caller: &Caller,
        change: Change,
        terms: Terms,
    ) -> Result<Changed, ApiError> {
        let Terms { precondition, mode, idempotency } = terms;
        let request = ChangeRequest {
            change,
            actor: caller.actor(),
            precondition,
            mode,
            approvals: self.approvals,
            idempotency,
            now: UnixMs::now(),
        };
        self.store.change(request).await.map_err(|error| caller.refused(error))
    }
}

/// On which terms a change is made.
pub(super) struct Terms {
    pub(super) precondition: Precondition,
    pub(super) mode: Mode,
    pub(super) idempotency: Option<Idempotency>,
}

impl Terms {
    /// As long as this still holds.
    pub(super) fn given(precondition: Precondition, mode: Mode) -> Self {
        Self { precondition, mode, idempotency: None }
    }

    /// Once for each key: `digest` is of what was asked. A dry run does nothing,
    /// so there is nothing to do once.
    pub(super) fn once(self, key: IdempotencyKey, digest: [u8; 32]) -> Self {
        let IdempotencyKey(key) = key;
        let key = key.filter(|_| self.mode == Mode::Commit);
        Self { idempotency: key.map(|key| Idempotency { key, request: digest }), ..self }
    }
}

/// On one processor a document takes a few milliseconds.
const EXPLAINING: usize = 4;
