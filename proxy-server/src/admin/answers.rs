//! Answers, and what the OpenAPI document says of them.

use std::collections::BTreeMap;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use utoipa::{
    IntoResponses,
    openapi::{
        ContentBuilder, HeaderBuilder, Ref, RefOr, ResponseBuilder,
        schema::{ObjectBuilder, Type},
    },
};

use super::{
    code::Code,
    model::{Cursor, Noun, Outcome},
    problem::{ApiError, PROBLEM_JSON},
};
use crate::store::{Changed, Mode, Paged};

/// What a handler gives back.
pub(super) type Answer = Result<Response, ApiError>;

/// A value as JSON, with the revision it was read at.
pub(super) fn tagged(value: impl Serialize, revision: u64) -> Response {
    ([(header::ETAG, etag(revision))], Json(value)).into_response()
}

/// What a change did. `created` is where the new row is.
pub(super) fn changed(changed: Changed, mode: Mode, noun: Noun, created: Option<String>) -> Response {
    let (revision, replayed) = (changed.revision, changed.replayed);
    let created = created.filter(|_| mode == Mode::Commit);
    let mut response = Json(Outcome::new(changed, mode, noun)).into_response();
    if let Some(location) = created.and_then(|location| HeaderValue::try_from(location).ok()) {
        *response.status_mut() = StatusCode::CREATED;
        response.headers_mut().insert(header::LOCATION, location);
    }
    if let Some(revision) = revision.filter(|_| mode == Mode::Commit) {
        response.headers_mut().insert(header::ETAG, etag(revision));
    }
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// A page, with `next` in the body and as a Link (RFC 8288).
pub(super) fn page<Row, View, Listing>(paged: Paged<Row>, list: &'static str, uri: &Uri) -> Response
where
    View: From<Row>,
    Listing: From<(Vec<View>, Option<String>)> + Serialize,
{
    let Paged { rows, next } = paged;
    let next = next.map(|key| Cursor::of(list).seal(&key));
    let link = next.as_deref().and_then(|cursor| HeaderValue::try_from(next_link(uri, cursor)).ok());
    let views = rows.into_iter().map(View::from).collect();
    let mut response = Json(Listing::from((views, next))).into_response();
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// The same question with another cursor. A cursor has no character that would have to be escaped.
fn next_link(uri: &Uri, cursor: &str) -> String {
    let others = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("cursor="));
    let query: Vec<_> = others.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
    format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"))
}

fn etag(revision: u64) -> HeaderValue {
    // Quotes and digits: always a header's value.
    HeaderValue::try_from(format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Says that nothing was done now.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What can go wrong, for the OpenAPI document: each status with its codes.
macro_rules! problems {
    ($($(#[doc = $doc:literal])+ $name:ident = [$($code:ident),+ $(,)?];)+) => {
        $(
            $(#[doc = $doc])+
            pub(super) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
                    responses(&[$(Code::$code),+])
                }
            }
        )+
    };
}

problems! {
    /// Of every authenticated read of a list.
    Listing = [BadQuery, BadCursor, ForeignOrigin, RoleMissing, InstallationWide, Overloaded, TooSlow, StoreUnavailable, Internal];
    /// Of every authenticated read of one thing.
    Reading = [BadQuery, ForeignOrigin, RoleMissing, InstallationWide, NotFound, Overloaded, TooSlow, StoreUnavailable, Internal];
    /// Of what adds something.
    Creating = [
        BadRequest, BadJson, BadQuery, BadHeader, ForeignOrigin, RoleMissing, InstallationWide, Escalation, LineageTooLong, NotFound,
        RequestTimeout, Exists, Buried, Overlaps, SamePcrs, AlreadyRevoked, KeptByFile, TooMany, TooLarge, NotJson, Invalid,
        IdempotencyMismatch, Overloaded, TooSlow, StoreUnavailable, Internal,
    ];
    /// Of what changes something that exists, with a body.
    Changing = [
        BadRequest, BadJson, BadQuery, BadHeader, ForeignOrigin, RoleMissing, NotFound, RequestTimeout, Exists, Overlaps,
        AlreadyRevoked, KeptByFile, TooMany, RevisionMismatch, AlreadyThere, TooLarge, NotJson, Invalid, PreconditionRequired,
        Overloaded, TooSlow, StoreUnavailable, Internal,
    ];
    /// Of what revokes, ends, approves or takes back: no body.
    Acting = [
        BadQuery, BadHeader, ForeignOrigin, RoleMissing, InstallationWide, NotFound, Buried, Overlaps, AlreadyRevoked, NothingWaits,
        OwnApproval, AlreadyApproved, KeptByFile, RevisionMismatch, AlreadyThere, Invalid, PreconditionRequired, Overloaded, TooSlow,
        StoreUnavailable, Internal,
    ];
    /// Of a revocation with a body.
    Revoking = [
        BadRequest, BadJson, BadQuery, BadHeader, ForeignOrigin, RoleMissing, InstallationWide, NotFound, RequestTimeout,
        AlreadyRevoked, TooLarge, NotJson, Invalid, IdempotencyMismatch, Overloaded, TooSlow, StoreUnavailable, Internal,
    ];
    /// Of an explanation.
    Explaining = [
        BadRequest, BadJson, BadQuery, ForeignOrigin, RoleMissing, RequestTimeout, TooLarge, NotJson, Invalid, Overloaded, TooSlow,
        StoreUnavailable, Internal,
    ];
    /// Of the stream of events.
    Listening = [BadQuery, BadHeader, ForeignOrigin, RoleMissing, TooManyListeners, Overloaded, TooSlow, StoreUnavailable, Internal];
    /// Of what needs no credentials.
    Open = [ForeignOrigin, Overloaded, TooSlow, Stale, NotReady, Draining];
}

/// What credentials can be refused for: on every operation that needs them.
pub(super) fn refused_credentials() -> [(StatusCode, &'static str); 5] {
    [
        (StatusCode::BAD_REQUEST, "more than one credential, or none that can be read"),
        (StatusCode::UNAUTHORIZED, "no credentials, or such as are worth nothing"),
        (StatusCode::FORBIDDEN, "genuine credentials that nobody gave a role here"),
        (StatusCode::TOO_MANY_REQUESTS, "too many failed logins from there: wait for Retry-After"),
        (StatusCode::SERVICE_UNAVAILABLE, "store or identity provider did not answer"),
    ]
}

fn responses(codes: &[Code]) -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().push(*code);
    }
    let one = |(status, codes): (u16, Vec<Code>)| {
        let lines: Vec<_> =
            codes.iter().map(|code| format!("`{}`:{}", code.as_str(), code.meaning())).collect();
        (status.to_string(), RefOr::T(problem_response(status, &lines.join("\n\n"))))
    };
    by_status.into_iter().map(one).collect()
}

/// An answer that carries a problem.
pub(super) fn problem_response(status: u16, description: &str) -> utoipa::openapi::Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content);
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let response = response.header("x-request-id", HeaderBuilder::new().schema(Some(text())).build());
    let response = match StatusCode::from_u16(status) {
        Ok(StatusCode::UNAUTHORIZED) => {
            response.header("WWW-Authenticate", HeaderBuilder::new().schema(Some(text())).build())
        }
        _ => response,
    };
    response.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_same_question() {
        let link = |uri: &'static str| next_link(&Uri::from_static(uri), "C");
        assert_eq!(link("/v1/a"), "</v1/a?cursor=C>; rel=\"next\"");
        assert_eq!(
            link("/v1/a?limit=2&cursor=B&state=active"),
            "</v1/a?limit=2&state=active&cursor=C>; rel=\"next\""
        );
    }
}
