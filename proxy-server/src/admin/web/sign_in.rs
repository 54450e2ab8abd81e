use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use maud::{Markup, html};

use super::{
    form::{Fields, Form},
    guard::Page,
    html, layout,
    provider::NO_RANDOMNESS,
};
use crate::admin::{
    access::{Login, Peer},
    extract::RequestId,
    identity::Credentials,
};

/// Asks for a token, or leads to the OpenID provider.
pub(super) async fn form(State(page): State<Page>) -> Response {
    html::page(StatusCode::OK, sign_in_page(&page, None))
}

/// Takes it, and judges it as the API would: failures count and are audited there.
pub(super) async fn sign_in(
    State(page): State<Page>,
    axum::Extension(peer): axum::Extension<Peer>,
    axum::Extension(RequestId(request_id)): axum::Extension<RequestId>,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    // Nobody is signed in yet, so no secret can stand in the form: the browser must
    // say that it comes from our own page. What it says of others is refused before.
    if !headers.contains_key(header::ORIGIN) && !headers.contains_key(SEC_FETCH_SITE) {
        return again(&page, StatusCode::FORBIDDEN, "the browser does not say which page this form is from");
    }
    let Ok(credentials) = credentials(fields.text("token")) else {
        return again(
            &page,
            StatusCode::UNPROCESSABLE_ENTITY,
            "that is no token; one begins with cst_, or is a JWT",
        );
    };
    let login = Login::over(credentials.clone(), &peer);
    let principal = match login.again(&page.api).await {
        Ok(principal) => principal,
        Err(error) => {
            tracing::debug!(code = error.code(), request_id, "sign-in refused");
            let answer = crate::admin::problem::render(error.into_response(), &request_id);
            return again(
                &page,
                answer.status(),
                "this token is worth nothing here, or too many were tried from your address",
            );
        }
    };
    let cookie = page.logins.begin(principal.subject(), credentials).ok().and_then(|id| html::LOGIN.set(&id));
    let Some(cookie) = cookie else {
        return again(&page, StatusCode::INTERNAL_SERVER_ERROR, NO_RANDOMNESS);
    };
    let mut response = Redirect::to("/ui/").into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

/// Forgets the login.
pub(super) async fn sign_out(State(page): State<Page>, Form { who, .. }: Form) -> Response {
    page.logins.end(&who.cookie);
    let mut response = Redirect::to("/ui/sign-in").into_response();
    response.headers_mut().append(header::SET_COOKIE, html::LOGIN.gone());
    response
}

/// As the header that a program would send.
fn credentials(token: &str) -> Result<Credentials, ()> {
    let mut headers = HeaderMap::new();
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(drop)?;
    value.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, value);
    Credentials::find(&headers, None).map_err(drop)
}

/// The same page, and why it is there again.
pub(super) fn again(page: &Page, status: StatusCode, why: &str) -> Response {
    html::page(status, sign_in_page(page, Some(why)))
}

fn sign_in_page(page: &Page, why: Option<&str>) -> Markup {
    let provider = page.api.authenticator.sign_in();
    layout::outside(
        "Sign in",
        html! {
            @if let Some(why) = why { div.trouble role="alert" { p { (why) } } }
            @if let Some(provider) = provider {
                p { a.button id="provider" href="/ui/sign-in/provider" { "Sign in with " (provider.name) } }
                h2 { "Or with a token" }
            }
            form.fields method="post" action="/ui/sign-in" {
                div {
                    label for="token" { "API token" }
                    p.fine id="token-help" {
                        "Make one with " code { "countersign-proxy token create NAME --role viewer" }
                        ", or paste a JWT of the configured OpenID provider."
                    }
                    input type="password" id="token" name="token" required autocomplete="off" autocapitalize="none"
                        spellcheck="false" aria-describedby="token-help" maxlength="12288";
                }
                div { button type="submit" { "Sign in" } }
            }
            p.fine { "Signed in already, and came by a link from elsewhere? " a href="/ui/" { "Go on" } "." }
            p.fine { "You stay signed in until half an hour without doing anything, ten hours, the end of your token, or this proxy's restart." }
        },
    )
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
