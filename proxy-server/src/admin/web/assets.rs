//! Style sheet, script and picture: part of the program.

use axum::{Router, response::IntoResponse, routing::get};
use http::header;

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let asset = |kind: &'static str, text: &'static str| {
        get(async move || ([(header::CONTENT_TYPE, kind)], text).into_response())
    };
    Router::new()
        .route("/ui/assets/style.css", asset("text/css; charset=utf-8", include_str!("assets/style.css")))
        .route("/ui/assets/live.js", asset("text/javascript; charset=utf-8", include_str!("assets/live.js")))
        .route("/ui/assets/icon.svg", asset("image/svg+xml", include_str!("assets/icon.svg")))
}
