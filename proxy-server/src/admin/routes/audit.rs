use axum::{Json, extract::State, response::IntoResponse};
use countersign_protocol::SessionId;
use http::Uri;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    admin::{
        answers::{self, Answer, Listing},
        extract::{Caller, Limit, NoParams, Params, page},
        identity::Permission,
        model::{AuditEntry, AuditListing, Chain, ChainListing, Moment, Prose, Text},
        state::Api,
    },
    policy::WorkloadName,
    store::AuditFilter,
};

/// Which rows.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Filter {
    /// Of this workload.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", nullable = false)]
    workload: Option<Text<WorkloadName>>,
    /// Of this session.
    #[param(value_type = Option<String>, pattern = "^[0-9a-fA-F]{32}$", nullable = false)]
    session: Option<Text<SessionId>>,
    /// Of this kind.
    #[param(inline, nullable = false)]
    kind: Option<Kind>,
    /// With this code.
    #[param(value_type = Option<String>, min_length = 1, max_length = 500, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$", nullable = false)]
    code: Option<Prose>,
    /// By this actor.
    #[param(value_type = Option<String>, min_length = 1, max_length = 500, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$", nullable = false)]
    actor: Option<Prose>,
    /// From then on.
    #[param(value_type = Option<String>, format = DateTime, nullable = false)]
    from: Option<Moment>,
    /// Before then.
    #[param(value_type = Option<String>, format = DateTime, nullable = false)]
    until: Option<Moment>,
    /// The most rows to give.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100, nullable = false)]
    limit: Option<Limit>,
    /// `next` of the page before.
    #[param(max_length = 1024, pattern = "^[A-Za-z0-9_-]{8,1024}$", nullable = false)]
    cursor: Option<String>,
}

/// A kind of decision.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin) enum Kind {
    Admission,
    Refusal,
    Credentials,
    End,
    Policy,
    Access,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Refusal => "refusal",
            Self::Credentials => "credentials",
            Self::End => "end",
            Self::Policy => "policy",
            Self::Access => "access",
        }
    }
}

/// Lists decisions, newest first. Who sees some workloads sees their rows only.
#[utoipa::path(
    get, path = "/v1/audit", operation_id = "list_audit", tag = "audit", params(Filter),
    responses((status = 200, description = "A page", body = AuditListing, headers(("Link" = String, description = "The next page"))), Listing)
)]
pub(in crate::admin) async fn list(
    caller: Caller,
    State(api): State<Api>,
    uri: Uri,
    Params(params): Params<Filter>,
) -> Answer {
    let visible = caller.visible(Permission::ReadAudit)?;
    let Filter { workload, session, kind, code, actor, from, until, limit, cursor } = params;
    let filter = AuditFilter {
        workload: workload.map(|Text(name)| name.to_string()),
        session: session.map(|Text(id)| id),
        kind: kind.map(|kind| kind.as_str().to_owned()),
        code: code.map(Prose::into_string),
        actor: actor.map(Prose::into_string),
        from: from.map(|Moment(at)| at),
        until: until.map(|Moment(at)| at),
    };
    let paged = api.store.audit(&visible, &filter, page(limit, cursor.as_deref(), LIST)?).await?;
    Ok(answers::page::<_, AuditEntry, AuditListing>(paged, LIST, &uri))
}

/// Lists the heads of the audit's chains.
#[utoipa::path(
    get, path = "/v1/audit/chains", operation_id = "list_audit_chains", tag = "audit",
    responses((status = 200, description = "The heads", body = ChainListing), Listing)
)]
pub(in crate::admin) async fn chains(
    caller: Caller,
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
) -> Answer {
    caller.may_everywhere(Permission::ReadAudit)?;
    let items = api.store.chains().await?.into_iter().map(Chain::from).collect();
    Ok(Json(ChainListing { items, next: None }).into_response())
}

const LIST: &str = "audit";
