use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, header, request::Parts};
use utoipa::IntoParams;

use crate::{
    admin::{code::Code, problem::ApiError},
    store::Precondition,
};

/// What the caller says must still be so (RFC 9110 section 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Match {
    /// Nothing was said.
    Unsaid,
    /// `If-Match: *`: it exists, whatever it says.
    Exists,
    /// `If-Match: "7"`: as it was read.
    Revision(u64),
    /// `If-None-Match: *`: it does not exist.
    Absent,
}

impl Match {
    /// For changes of what exists.
    ///
    /// # Errors
    /// 428 when nothing was said.
    pub(in crate::admin) fn of_existing(self) -> Result<Precondition, ApiError> {
        match self {
            Self::Revision(revision) => Ok(Precondition::Revision(revision)),
            Self::Exists => Ok(Precondition::None),
            Self::Unsaid => Err(required()),
            Self::Absent => {
                Err(ApiError::new(Code::BadHeader, "If-None-Match is for creation; this needs If-Match"))
            }
        }
    }
}

/// Asks for If-Match.
pub(in crate::admin) fn required() -> ApiError {
    ApiError::new(
        Code::PreconditionRequired,
        "send If-Match with the ETag that you read, so that nobody's change is overwritten unread (or *)",
    )
}

impl<S: Sync> FromRequestParts<S> for Match {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let if_match = single(&parts.headers, &header::IF_MATCH)?;
        let if_none_match = single(&parts.headers, &header::IF_NONE_MATCH)?;
        match (if_match, if_none_match) {
            (None, None) => Ok(Self::Unsaid),
            (Some("*"), None) => Ok(Self::Exists),
            (Some(tag), None) => revision(tag).map(Self::Revision).ok_or_else(|| {
                ApiError::new(
                    Code::BadHeader,
                    "If-Match is one strong entity tag, as \"7\" with its quotes, or *",
                )
            }),
            (None, Some("*")) => Ok(Self::Absent),
            (None, Some(_)) => Err(ApiError::new(Code::BadHeader, "If-None-Match may only be *")),
            // Both must hold (RFC 9110 section 13.2.2): that it exists, and that it does not.
            (Some(_), Some(_)) => Err(ApiError::new(
                Code::AlreadyThere,
                "it cannot both exist (If-Match) and not exist (If-None-Match)",
            )),
        }
    }
}

/// `"7"`: a strong tag with its one spelling.
fn revision(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    let plain = digits == "0" || digits.starts_with(|first: char| first != '0');
    let short = (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain && short { digits.parse().ok() } else { None }
}

/// So that a request sent twice is done once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admin) struct IdempotencyKey(pub(in crate::admin) Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(key) = single(&parts.headers, &HeaderName::from_static("idempotency-key"))? else {
            return Ok(Self(None));
        };
        if (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(Some(key.to_owned())));
        }
        let detail =
            format!("Idempotency-Key is 1 to {LONGEST_KEY} printable ASCII characters without spaces");
        Err(ApiError::new(Code::BadHeader, detail))
    }
}

/// Where a listener to events was (HTML, "Server-sent events").
pub(in crate::admin) struct LastEventId(pub(in crate::admin) Option<String>);

impl<S: Sync> FromRequestParts<S> for LastEventId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let id = single(&parts.headers, &HeaderName::from_static("last-event-id"))?;
        Ok(Self(id.map(str::to_owned)))
    }
}

/// The one value of a header.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let (first, more) = (values.next(), values.next());
    match (first.map(|value| value.to_str()), more) {
        (None, _) => Ok(None),
        (Some(Ok(value)), None) => Ok(Some(value)),
        (Some(Err(_)), _) => Err(ApiError::new(Code::BadHeader, format!("{name} is not ASCII text"))),
        (Some(Ok(_)), Some(_)) => Err(ApiError::new(Code::BadHeader, format!("{name} stands twice"))),
    }
}

/// For the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub(in crate::admin) struct IfMatchHeader {
    /// The ETag that was read, or `*` for whatever it says now.
    #[param(rename = "If-Match", pattern = r#"^("(0|[1-9][0-9]{0,17})"|\*)$"#, example = "\"7\"")]
    if_match: String,
}

/// For the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub(in crate::admin) struct PutHeaders {
    /// The ETag that was read, to change what exists; `*` for whatever it says now.
    #[param(
        rename = "If-Match",
        pattern = r#"^("(0|[1-9][0-9]{0,17})"|\*)$"#,
        example = "\"7\"",
        nullable = false
    )]
    if_match: Option<String>,
    /// `*`: create it, and change nothing that exists.
    #[param(rename = "If-None-Match", pattern = r"^\*$", example = "*", nullable = false)]
    if_none_match: Option<String>,
}

/// For the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub(in crate::admin) struct IdempotencyHeader {
    /// Your name for this request. Sent again within a day with the same body, it is answered again and done once.
    #[param(
        rename = "Idempotency-Key",
        pattern = "^[!-~]{1,128}$",
        example = "release-1.4.2",
        nullable = false
    )]
    idempotency_key: Option<String>,
}

const LONGEST_KEY: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_one_spelling() {
        assert_eq!(revision("\"0\""), Some(0));
        assert_eq!(revision("\"999999999999999999\""), Some(999_999_999_999_999_999));
        for bad in [
            "",
            "\"\"",
            "7",
            "\"07\"",
            "\"+7\"",
            "\"-1\"",
            "W/\"7\"",
            "\"7\", \"8\"",
            "\"1000000000000000000\"",
            "\"7",
            "\"",
        ] {
            assert_eq!(revision(bad), None, "{bad:?}");
        }
    }
}
