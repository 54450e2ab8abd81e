use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

use super::nearest::with_nearest;
use crate::{
    admin::{code::Code, model::Cursor, problem::ApiError},
    store::{Mode, Page},
};

/// The query, whole: a name that nobody knows is an error, and so is one that stands twice.
pub(in crate::admin) struct Params<T>(pub(in crate::admin) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                let reason = std::error::Error::source(&rejection)
                    .map_or_else(|| rejection.to_string(), ToString::to_string);
                Err(ApiError::new(Code::BadQuery, with_nearest(reason)))
            }
        }
    }
}

/// Nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct NoParams {}

/// How a change is made.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct ChangeParams {
    /// Check everything, change nothing, and say what would come of it.
    #[serde(default)]
    #[param(required = false, default = false)]
    dry_run: bool,
}

impl ChangeParams {
    pub(in crate::admin) fn mode(&self) -> Mode {
        mode(self.dry_run)
    }
}

/// What `dry_run` means.
pub(in crate::admin) fn mode(dry_run: bool) -> Mode {
    if dry_run { Mode::DryRun } else { Mode::Commit }
}

/// Which part of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct PageParams {
    /// The most rows to give.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100, nullable = false)]
    limit: Option<Limit>,
    /// `next` of the page before.
    #[param(max_length = 1024, pattern = "^[A-Za-z0-9_-]{8,1024}$", nullable = false)]
    cursor: Option<String>,
}

impl PageParams {
    /// The page, of the list with this name.
    pub(in crate::admin) fn page(&self, list: &'static str) -> Result<Page, ApiError> {
        page(self.limit, self.cursor.as_deref(), list)
    }
}

/// The page that `limit` and `cursor` ask for.
pub(in crate::admin) fn page(
    limit: Option<Limit>,
    cursor: Option<&str>,
    list: &'static str,
) -> Result<Page, ApiError> {
    let after = cursor.map(|text| Cursor::of(list).open(text)).transpose()?;
    Ok(Page { after, limit: limit.map_or(DEFAULT_LIMIT, |Limit(limit)| limit) })
}

/// 1 to [`Page::MOST`].
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "u32")]
pub(in crate::admin) struct Limit(u32);

impl TryFrom<u32> for Limit {
    type Error = String;

    fn try_from(limit: u32) -> Result<Self, String> {
        if (1..=Page::MOST).contains(&limit) {
            Ok(Self(limit))
        } else {
            Err(format!("limit is 1 to {}; found {limit}", Page::MOST))
        }
    }
}

const DEFAULT_LIMIT: u32 = 100;
