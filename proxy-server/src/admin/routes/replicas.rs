use axum::{Json, extract::State, response::IntoResponse};

use crate::{
    admin::{
        answers::{Answer, Listing},
        extract::{Caller, NoParams, Params},
        identity::Permission,
        model::{ReplicaListing, ReplicaView},
        state::Api,
    },
    store::UnixMs,
};

/// Lists every replica heard of within a day.
#[utoipa::path(
    get, path = "/v1/replicas", operation_id = "list_replicas", tag = "replicas",
    responses((status = 200, description = "The replicas", body = ReplicaListing), Listing)
)]
pub(in crate::admin) async fn list(
    caller: Caller,
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
) -> Answer {
    caller.may_everywhere(Permission::Read)?;
    let now = UnixMs::now();
    let rows = api.store.replicas(now).await?;
    let items = rows.into_iter().map(|row| ReplicaView::new(row, now)).collect();
    Ok(Json(ReplicaListing { items, next: None }).into_response())
}
