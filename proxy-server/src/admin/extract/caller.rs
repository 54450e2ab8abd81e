use std::{collections::BTreeSet, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::{
    admin::{
        identity::{Permission, Principal, Scope},
        problem::ApiError,
    },
    policy::WorkloadName,
    store::{Actor, StoreError, Visible},
};

/// The id of this request, as every answer carries it.
#[derive(Clone, Debug)]
pub(in crate::admin) struct RequestId(pub(in crate::admin) String);

/// Who asks. In hand means that somebody proved who he is; what he may, he is
/// asked for each row: [`Caller::may`].
pub(in crate::admin) struct Caller {
    principal: Arc<Principal>,
    request_id: String,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let principal = parts.extensions.get::<Arc<Principal>>();
        let id = parts.extensions.get::<RequestId>();
        match (principal, id) {
            (Some(principal), Some(RequestId(id))) => {
                Ok(Self { principal: Arc::clone(principal), request_id: id.clone() })
            }
            // A route outside of the layer that authenticates: nobody is let in by accident.
            _ => Err(ApiError::internal("a handler asked for its caller where nobody is authenticated")),
        }
    }
}

impl Caller {
    /// Who it is.
    pub(in crate::admin) fn principal(&self) -> &Principal {
        &self.principal
    }

    /// For the audit.
    pub(in crate::admin) fn actor(&self) -> Actor {
        Actor { subject: self.principal.subject().to_string(), request_id: self.request_id.clone() }
    }

    /// Whether he may do this to this workload. A workload outside his scope
    /// does not exist, as far as he can tell.
    pub(in crate::admin) fn may(
        &self,
        permission: Permission,
        workload: &WorkloadName,
    ) -> Result<(), ApiError> {
        self.principal.may(permission, Some(workload)).map_err(ApiError::from)
    }

    /// Whether he may do this to the installation as a whole.
    pub(in crate::admin) fn may_everywhere(&self, permission: Permission) -> Result<(), ApiError> {
        self.principal.may(permission, None).map_err(ApiError::from)
    }

    /// Whether he may do this somewhere, and where: for lists.
    pub(in crate::admin) fn visible(&self, permission: Permission) -> Result<Visible, ApiError> {
        self.principal.may_somewhere(permission)?;
        Ok(match self.principal.scope() {
            Scope::Everything => Visible::Everything,
            Scope::Workloads(names) => {
                Visible::Workloads(names.iter().map(ToString::to_string).collect::<BTreeSet<_>>())
            }
        })
    }

    /// Whether rows of this workload are his to see.
    pub(in crate::admin) fn sees(&self, workload: &str) -> bool {
        match self.principal.scope() {
            Scope::Everything => true,
            Scope::Workloads(_) => workload.parse().is_ok_and(|name| self.principal.sees(&name)),
        }
    }

    /// What the store refused, in words that tell him nothing of others.
    pub(in crate::admin) fn refused(&self, error: StoreError) -> ApiError {
        match (error, self.principal.scope()) {
            (StoreError::Refused(error), Scope::Workloads(_)) => {
                ApiError::of_change_for_some(error, |workload| self.sees(workload))
            }
            (error, _) => error.into(),
        }
    }
}
