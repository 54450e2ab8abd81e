use std::{collections::HashMap, convert::Infallible};

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use utoipa::IntoParams;

use crate::{
    admin::problem::ApiError,
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

/// What the path names, percent-decoded; empty when it is no UTF-8.
pub(in crate::admin) async fn read_path<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<HashMap<String, String>, Infallible> {
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
