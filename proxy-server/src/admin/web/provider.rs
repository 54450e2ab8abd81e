//! Signing in at the OpenID provider: there and back.

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, Uri, header};
use maud::html;

use super::{
    guard::{Page, cookie},
    html, layout,
    sign_in::again,
};
use crate::{
    admin::{
        access::{Login, Peer},
        extract::RequestId,
        identity::{AuthError, ClientNetwork, Credentials, RedirectAnswer, SignInAttempt, Subject},
    },
    store::UnixMs,
};

/// Sends the browser to the provider. It is a link and no form: the policy that
/// keeps forms to ourselves (`form-action`) would forbid the redirect.
pub(super) async fn start(
    State(page): State<Page>,
    axum::Extension(peer): axum::Extension<Peer>,
    axum::Extension(RequestId(request_id)): axum::Extension<RequestId>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    // A page elsewhere that signs people in without their doing.
    let site = headers.get(SEC_FETCH_SITE).map(|value| value.as_bytes());
    if !matches!(site, Some(b"same-origin" | b"none")) {
        let words = "the browser does not say that you came from this page: press the button here";
        return again(&page, StatusCode::FORBIDDEN, words);
    }
    let Some(config) = page.api.authenticator.sign_in() else {
        return again(&page, StatusCode::NOT_FOUND, "no OpenID provider is configured here");
    };
    // The provider sends the browser back to the public URL: the cookie must be of that host.
    let named = uri.authority().map(|authority| authority.as_str().as_bytes());
    let named = named.or_else(|| headers.get(header::HOST).map(|host| host.as_bytes()));
    if !named.is_some_and(|named| named.eq_ignore_ascii_case(config.public_url.authority().as_bytes())) {
        return Redirect::to(&format!("{}/ui/sign-in", config.public_url)).into_response();
    }
    match begin(&page, &peer).await {
        Ok(response) => response,
        Err(trouble) => refused(&page, &request_id, trouble),
    }
}

async fn begin(page: &Page, peer: &Peer) -> Result<Response, Trouble> {
    let attempt = SignInAttempt::new().map_err(|_| Trouble::NoRandomness)?;
    let url = page.api.authenticator.sign_in_url(&attempt).await.map_err(Trouble::Auth)?;
    let network = ClientNetwork::of(peer.address.ip());
    let bound = page.pending.begin(attempt, network).map_err(|_| Trouble::NoRandomness)?;
    let cookie = html::SIGN_IN.set(&bound).ok_or(Trouble::NoRandomness)?;
    let mut response = Redirect::to(&url).into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

/// The browser is back from the provider, with a code or with bad news.
pub(super) async fn callback(
    State(page): State<Page>,
    axum::Extension(peer): axum::Extension<Peer>,
    axum::Extension(RequestId(request_id)): axum::Extension<RequestId>,
    headers: HeaderMap,
    fields: Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let fields = fields.map(|Query(fields)| fields).unwrap_or_default();
    let mut response = match finish(&page, &peer, &headers, fields).await {
        Ok((subject, credentials)) => signed_in(&page, &subject, credentials),
        Err(trouble) => refused(&page, &request_id, trouble),
    };
    response.headers_mut().append(header::SET_COOKIE, html::SIGN_IN.gone());
    response
}

async fn finish(
    page: &Page,
    peer: &Peer,
    headers: &HeaderMap,
    fields: Vec<(String, String)>,
) -> Result<(Subject, Credentials), Trouble> {
    let answer = RedirectAnswer::read(fields).map_err(|bad| {
        tracing::debug!(reason = %bad, "no answer of a provider");
        Trouble::NotOurs
    })?;
    let bound = cookie(headers, html::SIGN_IN.name);
    let attempt = page.pending.take(answer.state(), bound.as_deref()).map_err(|reason| {
        tracing::debug!(?reason, "an answer to no sign-in");
        Trouble::NotOurs
    })?;
    let client = peer.address.ip();
    let redeemed = page.api.authenticator.signed_in(attempt, answer, client, UnixMs::now()).await;
    let credentials = redeemed.map_err(Trouble::Auth)?;
    let login = Login::over(credentials.clone(), peer);
    let principal = login.judged(&page.api).await.map_err(Trouble::Auth)?;
    Ok((principal.subject().clone(), credentials))
}

/// Not a redirect: the browser came from the provider's site, and would keep a
/// `SameSite=Strict` cookie to itself. The page that goes on from here is ours.
/// Where to is never asked of the request.
fn signed_in(page: &Page, subject: &Subject, credentials: Credentials) -> Response {
    let cookie = page.logins.begin(subject, credentials).ok().and_then(|id| html::LOGIN.set(&id));
    let Some(cookie) = cookie else {
        return again(page, StatusCode::INTERNAL_SERVER_ERROR, NO_RANDOMNESS);
    };
    let body = html! { p { a href="/ui/" { "Go on" } } };
    let mut response = html::page(StatusCode::OK, layout::onward("Signed in", "/ui/", body));
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

/// Why nobody is signed in.
enum Trouble {
    /// The answer belongs to no sign-in of this browser.
    NotOurs,
    NoRandomness,
    Auth(AuthError),
}

/// In words that say what to do. What the provider or the request said is not repeated: anybody may have written it.
fn refused(page: &Page, request_id: &str, trouble: Trouble) -> Response {
    let error = match trouble {
        Trouble::NotOurs => {
            let words = "this sign-in was not begun in this browser, took too long, or is over: begin again";
            return again(page, StatusCode::FORBIDDEN, words);
        }
        Trouble::NoRandomness => return again(page, StatusCode::INTERNAL_SERVER_ERROR, NO_RANDOMNESS),
        Trouble::Auth(error) => error,
    };
    let reason = std::error::Error::source(&error).map(ToString::to_string);
    tracing::info!(code = error.code(), error = %error, reason, request_id, "sign-in at the provider refused");
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let words = match status {
        StatusCode::SERVICE_UNAVAILABLE => "the OpenID provider cannot be asked now: try again",
        StatusCode::TOO_MANY_REQUESTS => "too many sign-ins failed from your address: wait, and try again",
        StatusCode::FORBIDDEN => "the OpenID provider does not let you in, or gives you no role here",
        _ => "the OpenID provider's answer is worth nothing here: begin again",
    };
    again(page, status, words)
}

const SEC_FETCH_SITE: &str = "sec-fetch-site";

pub(super) const NO_RANDOMNESS: &str = "the system gives no random bytes: try again";
