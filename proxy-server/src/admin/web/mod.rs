//! The web page: a client of the admin API inside the same process.
//!
//! ```text
//!   browser ─cookie─► guard ─Visitor─► pages ─Asker─► the API's own routes ─► Store
//!                     logins           HTML            may? audit, checks
//!                        ▲
//!             sign_in ───┴─── provider (OpenID: pending, there and back)
//! ```
//!
//! A page asks what a program would ask, over the same routes, as the person who
//! signed in: there is no second way to read or change anything, and no check
//! that stands here and not there. What a page leaves out because a role does not
//! give it is kindness, not protection.
//!
//! It shows its forms and takes them without JavaScript; `assets/live.js` renews
//! what changes and reads dropped files. Nothing comes from another host.
//! Decision: `docs/decisions/0081-web-page.md`.

mod ask;
mod assets;
mod audit;
mod explain;
mod form;
mod guard;
mod html;
mod layout;
mod listing;
mod logins;
mod measurement;
mod measurements;
mod overview;
mod pending;
mod plot;
mod provider;
mod sessions;
mod sign_in;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    response::Redirect,
    routing::{get, post},
};

use self::{ask::Asker, guard::Page};
use super::state::Api;

/// The page's paths. `api` are the routes that it asks, without their guard.
pub(super) fn pages(api: Router, state: &Api) -> Router<Api> {
    let page = Page::new(Asker::new(api), state);
    let closed = Router::new()
        .route("/ui/", get(overview::show))
        .route(guard::LIVE_PATH, get(ask::live))
        .route("/ui/sessions", get(sessions::list))
        .route("/ui/sessions/{session}", get(sessions::show))
        .route("/ui/sessions/{session}/end", post(sessions::end))
        .route("/ui/explain", get(explain::form).post(explain::explain))
        .route("/ui/measurements", get(measurements::list))
        .route("/ui/measurements/add", get(measurements::form).post(measurements::add))
        .route("/ui/measurements/{workload}/{measurement}", get(measurement::show))
        .route(
            "/ui/measurements/{workload}/{measurement}/revoke",
            get(measurement::would_revoke).post(measurement::revoke),
        )
        .route("/ui/measurements/{workload}/{measurement}/approve", post(measurement::approve))
        .route("/ui/measurements/{workload}/{measurement}/withdraw", post(measurement::withdraw))
        .route("/ui/audit", get(audit::list))
        .route("/ui/sign-out", post(sign_in::sign_out))
        .route_layer(middleware::from_fn_with_state(page.clone(), guard::signed_in));
    Router::new()
        .route("/ui/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/ui/sign-in/provider", get(provider::start))
        .route("/ui/sign-in/callback", get(provider::callback))
        .merge(closed)
        .route("/", get(async || Redirect::to("/ui/")))
        .route("/ui", get(async || Redirect::to("/ui/")))
        .merge(assets::routes())
        .layer(middleware::from_fn(html::protect))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state::<Api>(page)
}

/// A document in base64 and its form's other fields, encoded once more.
const MOST_BODY: usize = 192 * 1024;
