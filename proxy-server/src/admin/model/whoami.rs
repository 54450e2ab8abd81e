use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::identity::{Permission, Principal, Scope};

/// Who asks, and what he may.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Whoami {
    /// As the audit writes it.
    #[schema(example = "token:9cc4e1b7a25d1f0a")]
    subject: String,
    #[schema(example = json!(["operator"]))]
    roles: Vec<&'static str>,
    /// What the roles give.
    #[schema(example = json!(["read", "read-audit", "revoke", "end-session"]))]
    permissions: Vec<&'static str>,
    /// On which workloads; null is all of them and the installation itself.
    workloads: Option<Vec<String>>,
}

impl From<&Principal> for Whoami {
    fn from(principal: &Principal) -> Self {
        let roles = principal.roles();
        Self {
            subject: principal.subject().to_string(),
            roles: roles.iter().map(|role| role.as_str()).collect(),
            permissions: Permission::ALL
                .into_iter()
                .filter(|one| roles.give(*one))
                .map(Permission::as_str)
                .collect(),
            workloads: match principal.scope() {
                Scope::Everything => None,
                Scope::Workloads(names) => Some(names.iter().map(ToString::to_string).collect()),
            },
        }
    }
}
