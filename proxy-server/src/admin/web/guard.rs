use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use tokio::time::Instant;

use super::{
    ask::Asker,
    html,
    logins::{Activity, Csrf, Logins},
    pending::Pending,
};
use crate::admin::{
    access::{Login, Peer},
    extract::RequestId,
    identity::Principal,
    problem::ApiError,
    state::Api,
};

/// What the page's handlers share.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) asker: Asker,
    pub(super) api: Api,
    pub(super) logins: Arc<Logins>,
    pub(super) pending: Arc<Pending>,
}

impl Page {
    pub(super) fn new(asker: Asker, api: &Api) -> Self {
        Self { asker, api: Arc::clone(api), logins: Arc::default(), pending: Arc::default() }
    }
}

/// Who is signed in, proved with this very request.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) principal: Arc<Principal>,
    pub(super) login: Login,
    pub(super) csrf: Csrf,
    pub(super) request_id: String,
    /// When the login is over.
    pub(super) until: Instant,
    /// The cookie's value, to sign out by.
    pub(super) cookie: String,
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        // A route outside of the guard: nobody is let in by accident.
        let nobody = || ApiError::internal("a page asked for its visitor where nobody is signed in");
        parts.extensions.get::<Self>().cloned().ok_or_else(|| nobody().into_response())
    }
}

/// Finds the cookie's login, and judges its credentials as the API would: a token
/// that was revoked is worth nothing from the next request on.
pub(super) async fn signed_in(State(page): State<Page>, mut request: Request, next: Next) -> Response {
    let activity = match request.headers().contains_key(LIVE) {
        true => Activity::Page,
        false => Activity::Person,
    };
    // What is needed of the request, apart: its body cannot be waited beside.
    let extensions = request.extensions();
    let connection = extensions.get::<Peer>().cloned().zip(extensions.get::<RequestId>().cloned());
    let shown = cookie(request.headers(), html::LOGIN.name);
    let brought = shown.is_some();
    match visitor(&page, shown, connection, activity).await {
        Ok(visitor) => {
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Err(reason) if activity == Activity::Page => (StatusCode::UNAUTHORIZED, reason).into_response(),
        Err(_) => {
            let mut response = Redirect::to("/ui/sign-in").into_response();
            // Whoever follows a link on another site has a cookie that the browser kept to itself: it stays.
            if brought {
                response.headers_mut().append(header::SET_COOKIE, html::LOGIN.gone());
            }
            response
        }
    }
}

async fn visitor(
    page: &Page,
    cookie: Option<String>,
    connection: Option<(Peer, RequestId)>,
    activity: Activity,
) -> Result<Visitor, &'static str> {
    let cookie = cookie.ok_or("not signed in")?;
    let found = page.logins.find(&cookie, activity).ok_or("signed out")?;
    let (peer, RequestId(id)) = connection.ok_or("a request came without its connection")?;
    let login = Login::over(found.credentials, &peer);
    let principal = login.again(&page.api).await.map_err(|error| {
        tracing::debug!(code = error.code(), request_id = id, "a page's credentials are worth nothing now");
        "credentials are worth nothing any more"
    })?;
    Ok(Visitor {
        principal: Arc::new(principal),
        login,
        csrf: found.csrf,
        request_id: id,
        until: found.until,
        cookie,
    })
}

/// The one cookie of this name. Two of them are none: somebody else set one.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut ours = texts
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(found, _)| *found == name);
    match (ours.next(), ours.next()) {
        (Some((_, value)), None) => Some(value.to_owned()),
        _ => None,
    }
}

/// Sent by the page's own script: such a request keeps nobody signed in.
const LIVE: &str = "x-countersign-live";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_cookie_is_ours_when_there_is_one_of_the_name() {
        let with = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(text));
            cookie(&headers, html::LOGIN.name)
        };
        assert_eq!(with("a=b; __Host-countersign=x; c=d").as_deref(), Some("x"));
        assert_eq!(with("__Host-countersign=x; __Host-countersign=y"), None);
        assert_eq!(with("countersign=x"), None);
    }
}
