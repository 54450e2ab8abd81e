use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::time::timeout;

use super::nearest::with_nearest;
use crate::admin::{code::Code, problem::ApiError};

/// What a body may be.
pub(in crate::admin) trait Incoming: DeserializeOwned {
    /// The most bytes of it.
    const MOST: usize;
}

/// A body read whole: JSON, called JSON, within its size and time.
pub(in crate::admin) struct Body<T> {
    /// What it says.
    pub(in crate::admin) value: T,
    /// SHA-256 of method, path, query and body: what was asked, for Idempotency-Key.
    pub(in crate::admin) digest: [u8; 32],
}

impl<T: Incoming, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        is_json(request.headers())?;
        let mut context = Context::new(&SHA256);
        for part in
            [request.method().as_str(), request.uri().path(), request.uri().query().unwrap_or_default()]
        {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let bytes = read(request, T::MOST).await?;
        context.update(&bytes);
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        let value = serde_json::from_slice(&bytes).map_err(|error| mistake(&error))?;
        Ok(Self { value, digest })
    }
}

/// RFC 9110 section 8.3: `application/json`, with parameters or without.
fn is_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let called = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = called.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::new(Code::NotJson, "the body must be called application/json (Content-Type)"))
}

/// A length that is announced and too large is refused before a byte of it is kept.
async fn read(request: Request, most: usize) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::new(Code::TooLarge, format!("the body is over its limit of {most} bytes"));
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<u64>().ok());
    let mut body = request.into_body();
    if announced.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let whole = async {
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                ApiError::new(Code::BadRequest, "the body is not well-formed HTTP").because(error)
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > most {
                return Ok(None);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Some(bytes.freeze()))
    };
    match timeout(BODY_TIME, whole).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            let detail = format!("the body was not complete within {} s", BODY_TIME.as_secs());
            Err(ApiError::new(Code::RequestTimeout, detail))
        }
    }
}

/// What is no JSON is 400; JSON that says something else than it must is 422.
fn mistake(error: &serde_json::Error) -> ApiError {
    match error.classify() {
        Category::Data => ApiError::new(Code::Invalid, with_nearest(error.to_string())),
        Category::Syntax | Category::Eof | Category::Io => {
            ApiError::new(Code::BadJson, format!("the body is no JSON: {error}"))
        }
    }
}

/// A rule set with a thousand destinations is far below this.
pub(in crate::admin) const LARGE: usize = 1024 * 1024;

/// Names, a set of PCRs, or one attestation document (at most 32 KiB) in base64.
pub(in crate::admin) const SMALL: usize = 64 * 1024;

/// Whoever needs longer for a megabyte is not there.
const BODY_TIME: Duration = Duration::from_secs(10);
