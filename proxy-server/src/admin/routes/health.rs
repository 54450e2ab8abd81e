use axum::{Json, extract::State, response::IntoResponse};
use http::header;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::{
        answers::{Answer, Open},
        code::Code,
        problem::ApiError,
        state::Api,
    },
    policy::Freshness,
};

/// How it is.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Health {
    status: HealthWord,
}

/// In one word.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum HealthWord {
    Ok,
}

/// Answers as long as the process does.
#[utoipa::path(
    get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, description = "The process answers", body = Health), Open)
)]
pub(in crate::admin) async fn healthz() -> Answer {
    Ok(Json(Health { status: HealthWord::Ok }).into_response())
}

/// Answers 200 while this replica admits: it has seen its store lately.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "It admits", body = Health), Open)
)]
pub(in crate::admin) async fn readyz(State(api): State<Api>) -> Answer {
    match api.policy.freshness() {
        Freshness::Fresh => Ok(Json(Health { status: HealthWord::Ok }).into_response()),
        Freshness::Stale => {
            Err(ApiError::new(Code::Stale, "the store has not answered lately: nothing new is admitted")
                .retry_after(1))
        }
    }
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "health", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object), Open)
)]
pub(in crate::admin) async fn openapi(State(api): State<Api>) -> Answer {
    Ok(([(header::CONTENT_TYPE, "application/json")], api.openapi.clone()).into_response())
}
