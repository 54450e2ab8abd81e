use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Moment, Text, whole};
use crate::{
    admin::{
        extract::{Incoming, SMALL},
        identity::{Role, Roles, Scope, TokenLife, TokenName, TokenRecord},
        problem::ApiError,
    },
    policy::WorkloadName,
};

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct NewToken {
    /// For people; unique among live tokens.
    #[schema(value_type = String, pattern = "^[!-~]([ -~]{0,62}[!-~])?$", example = "release pipeline")]
    name: Text<TokenName>,
    /// What it may do: nothing that its maker may not.
    #[schema(min_items = 1, max_items = 4)]
    roles: Vec<RoleWord>,
    /// On which workloads; absent or null is all that there are and will be, and the installation itself.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, schema_with = workloads_schema)]
    workloads: Option<Vec<Text<WorkloadName>>>,
    /// How long it lives, in seconds: a minute to a year.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 60, maximum = 31_622_400, example = 2_592_000)]
    lives_seconds: u64,
}

/// A role.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum RoleWord {
    Viewer,
    Operator,
    Approver,
    Admin,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Viewer => Self::Viewer,
            RoleWord::Operator => Self::Operator,
            RoleWord::Approver => Self::Approver,
            RoleWord::Admin => Self::Admin,
        }
    }
}

impl From<Role> for RoleWord {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Operator => Self::Operator,
            Role::Approver => Self::Approver,
            Role::Admin => Self::Admin,
        }
    }
}

impl Incoming for NewToken {
    const MOST: usize = SMALL;
}

impl NewToken {
    /// Its name, roles, scope and life.
    pub(in crate::admin) fn check(self) -> Result<(TokenName, Roles, Scope, TokenLife), ApiError> {
        let Self { name: Text(name), roles, workloads, lives_seconds } = self;
        if roles.len() > Role::ALL.len() {
            return Err(ApiError::invalid("roles", "a role stands twice"));
        }
        let roles = Roles::of(roles.into_iter().map(Role::from))
            .ok_or_else(|| ApiError::invalid("roles", "expected at least one role"))?;
        let scope = match workloads {
            None => Scope::Everything,
            Some(names) => Scope::of_names(names.iter().map(|Text(name)| name.as_str()))
                .map_err(|error| ApiError::invalid("workloads", error))?,
        };
        let life = TokenLife::new(Duration::from_secs(lives_seconds))
            .ok_or_else(|| ApiError::invalid("lives_seconds", "expected 60 to 31622400 (a year)"))?;
        Ok((name, roles, scope, life))
    }
}

/// A token without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct TokenView {
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    name: String,
    roles: Vec<RoleWord>,
    /// Null is all workloads and the installation itself.
    workloads: Option<Vec<String>>,
    /// Who made it, and who made the token it was made with, the nearest first.
    created_by: Vec<String>,
    created: Moment,
    expires: Moment,
    /// To the minute.
    last_used: Option<Moment>,
    revoked: Option<Moment>,
}

impl From<TokenRecord> for TokenView {
    fn from(record: TokenRecord) -> Self {
        let TokenRecord { id, name, hash: _, roles, scope, created_by, created, expires, last_used, revoked } =
            record;
        Self {
            id: id.to_string(),
            name: name.as_str().to_owned(),
            roles: roles.iter().map(RoleWord::from).collect(),
            workloads: match scope {
                Scope::Everything => None,
                Scope::Workloads(names) => Some(names.iter().map(ToString::to_string).collect()),
            },
            created_by: created_by.iter().map(ToString::to_string).collect(),
            created: Moment(created),
            expires: Moment(expires),
            last_used: last_used.map(Moment),
            revoked: revoked.map(Moment),
        }
    }
}

/// A new token, with its secret for the one time.
#[derive(Serialize, ToSchema)]
pub(in crate::admin) struct TokenMade {
    /// The bearer token. It is shown now and never again.
    #[schema(pattern = "^cst_[A-Za-z0-9_-]{48}$")]
    pub(in crate::admin) secret: String,
    pub(in crate::admin) token: TokenView,
}

fn workloads_schema() -> utoipa::openapi::schema::Array {
    use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
    let name = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[a-z0-9][a-z0-9._-]{0,63}$"));
    ArrayBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
        .items(name)
        .min_items(Some(1))
        .max_items(Some(Scope::MAX))
        .unique_items(true)
        .build()
}
