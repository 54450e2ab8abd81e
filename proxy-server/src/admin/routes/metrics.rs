use axum::{extract::State, response::IntoResponse};
use http::header;
use tokio::task::spawn_blocking;

use crate::{
    admin::{
        answers::{Answer, Listing},
        extract::{Caller, NoParams, Params},
        identity::Permission,
        problem::ApiError,
        state::Api,
    },
    telemetry::Metrics,
};

/// Figures of this process in Prometheus's text format, for whoever may read everything.
#[utoipa::path(
    get, path = "/metrics", tag = "status",
    responses((status = 200, description = "Prometheus text, 0.0.4", body = String, content_type = "text/plain"), Listing)
)]
pub(in crate::admin) async fn scrape(
    caller: Caller,
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
) -> Answer {
    caller.may_everywhere(Permission::Read)?;
    let metrics = api.telemetry.metrics.clone();
    // It counts every session: milliseconds with 100,000 of them.
    let text = spawn_blocking(move || metrics.text()).await.map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, Metrics::TYPE)], text).into_response())
}
