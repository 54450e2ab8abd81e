use axum::{Json, extract::State, response::IntoResponse};
use countersign_protocol::SessionId;
use http::Uri;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ReasonParams;
use crate::{
    admin::{
        answers::{self, Acting, Answer, Listing, Reading},
        extract::{Caller, Limit, NoParams, Params, SessionPath, SessionPlace, page},
        identity::Permission,
        model::{Noun, Outcome, SessionListing, SessionView, Text},
        problem::ApiError,
        state::{Api, Shared, Terms},
    },
    policy::WorkloadName,
    store::{Change, Precondition, SessionFilter, SessionRow, UnixMs},
};

/// Which sessions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Filter {
    /// Of this workload.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", nullable = false)]
    workload: Option<Text<WorkloadName>>,
    /// Of the measurement of this name.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", nullable = false)]
    measurement: Option<Text<WorkloadName>>,
    /// The most rows to give.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100, nullable = false)]
    limit: Option<Limit>,
    /// `next` of the page before.
    #[param(max_length = 1024, pattern = "^[A-Za-z0-9_-]{8,1024}$", nullable = false)]
    cursor: Option<String>,
}

/// Lists live sessions.
#[utoipa::path(
    get, path = "/v1/sessions", operation_id = "list_sessions", tag = "sessions", params(Filter),
    responses((status = 200, description = "A page, by id", body = SessionListing, headers(("Link" = String, description = "The next page"))), Listing)
)]
pub(in crate::admin) async fn list(
    caller: Caller,
    State(api): State<Api>,
    uri: Uri,
    Params(params): Params<Filter>,
) -> Answer {
    let visible = caller.visible(Permission::Read)?;
    let Filter { workload, measurement, limit, cursor } = params;
    let filter = SessionFilter {
        workload: workload.map(|Text(name)| name.to_string()),
        measurement: measurement.map(|Text(name)| name.to_string()),
    };
    let paged = api
        .store
        .session_page(&visible, &filter, page(limit, cursor.as_deref(), LIST)?, UnixMs::now())
        .await?;
    Ok(answers::page::<_, SessionView, SessionListing>(paged, LIST, &uri))
}

/// Shows a live session.
#[utoipa::path(
    get, path = "/v1/sessions/{session}", operation_id = "show_session", tag = "sessions", params(SessionPath),
    responses((status = 200, description = "The session", body = SessionView), Reading)
)]
pub(in crate::admin) async fn show(
    caller: Caller,
    State(api): State<Api>,
    SessionPlace(id): SessionPlace,
    Params(NoParams {}): Params<NoParams>,
) -> Answer {
    let row = find(&caller, &api, Permission::Read, id).await?;
    Ok(Json(SessionView::from(row)).into_response())
}

/// Ends a session on every replica. The enclave may attest again.
#[utoipa::path(
    delete, path = "/v1/sessions/{session}", operation_id = "end_session", tag = "sessions", params(SessionPath, ReasonParams),
    responses((status = 200, description = "Ended, or a dry run", body = Outcome), Acting)
)]
pub(in crate::admin) async fn end(
    caller: Caller,
    State(api): State<Api>,
    SessionPlace(session): SessionPlace,
    Params(params): Params<ReasonParams>,
) -> Answer {
    find(&caller, &api, Permission::EndSession, session).await?;
    let (mode, reason) = params.take();
    let change = Change::EndSession { session, reason };
    let changed = api.change(&caller, change, Terms::given(Precondition::None, mode)).await?;
    Ok(answers::changed(changed, mode, Noun::End, None))
}

/// The session of this id, when it is one that the caller may do this to. One
/// of others and one that nobody has are told in the same words.
async fn find(
    caller: &Caller,
    api: &Shared,
    permission: Permission,
    id: SessionId,
) -> Result<SessionRow, ApiError> {
    caller.visible(permission)?;
    let rows = api.store.sessions_by_id(&[id], UnixMs::now()).await?;
    let row = rows.into_iter().find(|row| row.id == id && caller.sees(&row.workload));
    row.ok_or_else(|| ApiError::not_found(format_args!("session {id}")))
}

const LIST: &str = "sessions";
