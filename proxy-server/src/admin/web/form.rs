use std::collections::BTreeMap;

use axum::{
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use maud::html;

use super::{guard::Visitor, html, layout};

/// A form of somebody who is signed in, sent from a page of ours: the field `csrf`
/// is the login's secret. Without it nothing of the form is looked at.
pub(super) struct Form {
    pub(super) who: Visitor,
    pub(super) fields: Fields,
}

/// The fields of a form, each text once.
#[derive(Default)]
pub(super) struct Fields(BTreeMap<String, String>);

impl Fields {
    /// What stands in a field; nothing is the empty text.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(|text| text.trim()).unwrap_or_default()
    }

    /// Whether there is such a field.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        axum::Form::from_request(request, state)
            .await
            .map(|axum::Form(fields)| Self(fields))
            .map_err(|error| refused(error.status(), "The form cannot be read", &error.to_string()))
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let nobody = || StatusCode::INTERNAL_SERVER_ERROR.into_response();
        let who = request.extensions().get::<Visitor>().cloned().ok_or_else(nobody)?;
        let fields = Fields::from_request(request, state).await?;
        if !who.csrf.is(fields.text("csrf")) {
            tracing::warn!(code = "csrf", request_id = who.request_id, subject = %who.principal.subject(), "a form without its secret");
            let words = "It did not come from a page of this login. Nothing was done: open the page again.";
            return Err(refused(StatusCode::FORBIDDEN, "This form is not ours", words));
        }
        Ok(Self { who, fields })
    }
}

fn refused(status: StatusCode, title: &str, words: &str) -> Response {
    let body = html! { div.trouble role="alert" { p { (words) } } p { a href="/ui/" { "To the overview" } } };
    html::page(status, layout::outside(title, body))
}
