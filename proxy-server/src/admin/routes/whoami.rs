use axum::{Json, response::IntoResponse};

use crate::admin::{
    answers::{Answer, Listing},
    extract::{Caller, NoParams, Params},
    model::Whoami,
};

/// Tells who asks, and what he may.
#[utoipa::path(
    get, path = "/v1/whoami", operation_id = "whoami", tag = "access",
    responses((status = 200, description = "The caller", body = Whoami), Listing)
)]
pub(in crate::admin) async fn show(caller: Caller, Params(NoParams {}): Params<NoParams>) -> Answer {
    Ok(Json(Whoami::from(caller.principal())).into_response())
}
