//! The same routes for a command on the machine itself.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use countersign_protocol::{Deployment, LeaseBounds};
use countersign_verifier::TrustAnchor;

use super::{
    AdminConfig, AdminParts, StoreTokens,
    identity::{Authenticator, FailedLogin, FailedLogins, Principal},
    router::assembled,
};
use crate::{policy::PolicyHandle, store::Store, telemetry::Telemetry};

/// What the routes are made of, where nobody signs in.
pub struct MachineParts {
    /// What they show and change.
    pub store: Arc<dyn Store>,
    /// The policy that documents are explained by.
    pub policy: PolicyHandle,
    /// The installation's name.
    pub deployment: Deployment,
    /// Under which root documents must stand.
    pub anchor: TrustAnchor,
    /// How many people besides the author must agree to what allows more.
    pub approvals: u32,
    /// Leases given here; a workload's own bounds lie inside.
    pub lease_bounds: LeaseBounds,
}

/// The API's routes, in which every request is `user`'s of this machine, who may
/// do everything: whoever can write to the store needs nobody's permission. For
/// commands; never to be served on a port.
///
/// Approvals are asked of him as of anybody else: nobody approves what he wrote.
pub fn danger_routes_of_the_machine(parts: MachineParts, user: &str) -> Router {
    let MachineParts { store, policy, deployment, anchor, approvals, lease_bounds } = parts;
    let tokens = Arc::new(StoreTokens::new(Arc::clone(&store)));
    let parts = AdminParts {
        store,
        telemetry: Telemetry::of_policy(policy.clone()),
        policy,
        // It is asked by nobody: the principal is there before.
        authenticator: Arc::new(Authenticator::new(tokens, Arc::new(Nobody))),
        deployment,
        anchor,
        approvals,
        lease_bounds,
        config: AdminConfig::default(),
    };
    let principal = Arc::new(Principal::danger_of_the_machine(user));
    assembled(parts, |closed, _| closed.route_layer(middleware::from_fn_with_state(principal, as_principal)))
}

async fn as_principal(State(principal): State<Arc<Principal>>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(principal);
    next.run(request).await
}

/// Hears of failed logins, where nobody logs in.
struct Nobody;

impl FailedLogins for Nobody {
    fn failed(&self, _: FailedLogin) {}
}
