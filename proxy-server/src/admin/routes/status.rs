use axum::{Json, extract::State, response::IntoResponse};
use tokio::task::spawn_blocking;

use crate::{
    admin::{
        answers::{Answer, Listing},
        extract::{Caller, NoParams, Params},
        identity::Permission,
        model::StatusView,
        problem::ApiError,
        state::Api,
    },
    store::UnixMs,
    telemetry::Telemetry,
};

/// Shows how this process does: its checks, its counts since its start, its last half hour, and leases about to lapse.
#[utoipa::path(
    get, path = "/v1/status", operation_id = "show_status", tag = "status",
    responses((status = 200, description = "How it does", body = StatusView), Listing)
)]
pub(in crate::admin) async fn show(
    caller: Caller,
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
) -> Answer {
    caller.may_everywhere(Permission::Read)?;
    let telemetry: Telemetry = api.telemetry.clone();
    let deployment = api.deployment.to_string();
    let look = move || StatusView::of(deployment, &telemetry, UnixMs::now());
    Ok(Json(spawn_blocking(look).await.map_err(ApiError::internal)?).into_response())
}
