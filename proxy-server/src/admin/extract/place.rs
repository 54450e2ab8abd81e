use std::{collections::HashMap, convert::Infallible};

use axum::extract::{FromRequestParts, Path};
use countersign_protocol::SessionId;
use countersign_verifier::PcrSet;
use http::request::Parts;
use utoipa::IntoParams;

use crate::{
    admin::{identity::TokenId, model::set_of, problem::ApiError},
    policy::{WorkloadName, check_name},
};

/// `{workload}` of the path.
pub(in crate::admin) struct WorkloadPlace {
    pub(in crate::admin) workload: WorkloadName,
}

/// `{workload}` and `{measurement}` of the path.
pub(in crate::admin) struct MeasurementPlace {
    pub(in crate::admin) workload: WorkloadName,
    pub(in crate::admin) measurement: String,
}

impl<S: Send + Sync> FromRequestParts<S> for WorkloadPlace {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(path) = read_path(parts, state).await;
        Ok(Self { workload: workload(&path)? })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MeasurementPlace {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(path) = read_path(parts, state).await;
        let workload = workload(&path)?;
        match path.get("measurement") {
            Some(name) if check_name(name).is_ok() => Ok(Self { workload, measurement: name.clone() }),
            // A text that can name nothing names nothing there is.
            _ => Err(ApiError::not_found("measurement of that name")),
        }
    }
}

/// `{session}` of the path.
pub(in crate::admin) struct SessionPlace(pub(in crate::admin) SessionId);

impl<S: Send + Sync> FromRequestParts<S> for SessionPlace {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(path) = read_path(parts, state).await;
        let id = path.get("session").filter(|text| is_lower_hex(text)).and_then(|text| text.parse().ok());
        id.map(Self).ok_or_else(|| ApiError::not_found("session of that id"))
    }
}

/// `{token}` of the path.
pub(in crate::admin) struct TokenPlace(pub(in crate::admin) TokenId);

impl<S: Send + Sync> FromRequestParts<S> for TokenPlace {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(path) = read_path(parts, state).await;
        let id = path.get("token").and_then(|text| text.parse().ok());
        id.map(Self).ok_or_else(|| ApiError::not_found("token of that id"))
    }
}

/// `{tombstone}` of the path.
pub(in crate::admin) struct TombstonePlace(pub(in crate::admin) PcrSet);

impl<S: Send + Sync> FromRequestParts<S> for TombstonePlace {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(path) = read_path(parts, state).await;
        let set = path.get("tombstone").and_then(|text| set_of(text));
        set.map(Self).ok_or_else(|| ApiError::not_found("tombstone of that id"))
    }
}

/// One id has one spelling.
fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// What the path names, percent-decoded; empty when it is no UTF-8.
async fn read_path<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<HashMap<String, String>, Infallible> {
    Ok(Path::from_request_parts(parts, state).await.map(|Path(path)| path).unwrap_or_default())
}

fn workload(path: &HashMap<String, String>) -> Result<WorkloadName, ApiError> {
    path.get("workload")
        .and_then(|name| name.parse().ok())
        .ok_or_else(|| ApiError::not_found("workload of that name"))
}

/// For the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)]
pub(in crate::admin) struct WorkloadPath {
    /// The workload's name.
    #[param(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", example = "payments")]
    workload: String,
}

/// For the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)]
pub(in crate::admin) struct MeasurementPath {
    /// The workload's name.
    #[param(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", example = "payments")]
    workload: String,
    /// The measurement's name in its workload.
    #[param(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", example = "v1.4.2")]
    measurement: String,
}

/// For the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)]
pub(in crate::admin) struct SessionPath {
    /// The session's id.
    #[param(pattern = "^[0-9a-f]{32}$", example = "5d1f0a9cc4e1b7a25d1f0a9cc4e1b7a2")]
    session: String,
}

/// For the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)]
pub(in crate::admin) struct TokenPath {
    /// The token's id.
    #[param(pattern = "^[0-9a-f]{32}$", example = "9cc4e1b7a25d1f0a9cc4e1b7a25d1f0a")]
    token: String,
}

/// For the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)]
pub(in crate::admin) struct TombstonePath {
    /// The tombstone's `id`: the set of PCRs itself.
    #[param(pattern = "^[A-Za-z0-9_-]{66,2096}$")]
    tombstone: String,
}
