use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use maud::html;
use tokio::time::Instant;

use super::{
    ask::Asker,
    html, layout,
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
    let activity = activity(&request);
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
        Err(Closed::ForNow(error)) if activity == Activity::Page => {
            (error.status(), "not now").into_response()
        }
        Err(Closed::ForNow(error)) => {
            let body = html! {
                p { "Your credentials cannot be judged at this moment (" code { (error.code()) } "). You are still signed in: try again." }
            };
            html::page(error.status(), layout::outside("Not now", body))
        }
        Err(Closed::SignedOut(reason)) if activity == Activity::Page => {
            (StatusCode::UNAUTHORIZED, reason).into_response()
        }
        Err(Closed::SignedOut(_)) => {
            let mut response = Redirect::to("/ui/sign-in").into_response();
            // Whoever follows a link on another site has a cookie that the browser kept to itself: it stays.
            if brought {
                response.headers_mut().append(header::SET_COOKIE, html::LOGIN.gone());
            }
            response
        }
    }
}

/// Why nobody is let in.
enum Closed {
    SignedOut(&'static str),
    /// The store or the provider does not answer, which says nothing of the login.
    ForNow(ApiError),
}

async fn visitor(
    page: &Page,
    cookie: Option<String>,
    connection: Option<(Peer, RequestId)>,
    activity: Activity,
) -> Result<Visitor, Closed> {
    let cookie = cookie.ok_or(Closed::SignedOut("not signed in"))?;
    let found = page.logins.find(&cookie, activity).ok_or(Closed::SignedOut("signed out"))?;
    let connection = connection.ok_or(Closed::SignedOut("a request came without its connection"));
    let (peer, RequestId(id)) = connection?;
    let login = Login::over(found.credentials, &peer);
    let principal = login.again(&page.api).await.map_err(|error| {
        tracing::debug!(code = error.code(), request_id = id, "a page's credentials are worth nothing now");
        match error.is_passing() {
            true => Closed::ForNow(error),
            false => Closed::SignedOut("credentials are worth nothing any more"),
        }
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

/// A browser opens the stream of events again by itself, and takes no header of ours along.
fn activity(request: &Request) -> Activity {
    let by_itself = request.headers().contains_key(LIVE) || request.uri().path() == LIVE_PATH;
    if by_itself { Activity::Page } else { Activity::Person }
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

/// Where the stream of events is.
pub(super) const LIVE_PATH: &str = "/ui/live";

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_a_page_asks_by_itself_keeps_nobody_signed_in() {
        let asked = |path: &str, header: Option<&str>| {
            let mut request = Request::builder().uri(path);
            if let Some(name) = header {
                request = request.header(name, "1");
            }
            activity(&request.body(Body::empty()).unwrap())
        };
        assert_eq!(asked("/ui/", None), Activity::Person);
        assert_eq!(asked("/ui/", Some(LIVE)), Activity::Page);
        assert_eq!(asked("/ui/live", None), Activity::Page);
    }

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
