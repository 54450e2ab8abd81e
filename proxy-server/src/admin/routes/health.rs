use axum::{Json, extract, response::IntoResponse};
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
    store::UnixMs,
    telemetry::{CheckName, State},
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

/// Answers 200 while this replica admits: it has seen its store lately, can issue certificates, and its clock did not go back.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "It admits", body = Health), Open)
)]
pub(in crate::admin) async fn readyz(extract::State(api): extract::State<Api>) -> Answer {
    let (health, now) = (&api.telemetry.health, UnixMs::now());
    let refused = |code, detail: String| Err(ApiError::new(code, detail).retry_after(1));
    match health.state(now) {
        State::Ready => Ok(Json(Health { status: HealthWord::Ok }).into_response()),
        State::Draining => refused(Code::Draining, "told to stop: nothing new is opened here".to_owned()),
        State::NotReady => {
            let failed =
                health.checks(now).into_iter().find_map(|check| Some((check.name, check.found.err()?)));
            match failed {
                Some((CheckName::Store, why)) => refused(Code::Stale, format!("store: {why}")),
                Some((name, why)) => refused(Code::NotReady, format!("{}: {why}", name.as_str())),
                // It has just passed.
                None => refused(Code::NotReady, "ask again".to_owned()),
            }
        }
    }
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "health", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object), Open)
)]
pub(in crate::admin) async fn openapi(extract::State(api): extract::State<Api>) -> Answer {
    Ok(([(header::CONTENT_TYPE, "application/json")], api.openapi.clone()).into_response())
}
