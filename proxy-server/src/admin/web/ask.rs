use std::{collections::BTreeMap, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use futures_util::StreamExt;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use tower::util::ServiceExt;

use super::guard::{Page, Visitor};
use crate::{
    admin::{extract::RequestId, problem::render},
    percent::pairs,
};

/// Asks the API, in this process, as somebody who is signed in.
#[derive(Clone)]
pub(super) struct Asker(Router);

impl Asker {
    pub(super) fn new(api: Router) -> Self {
        Self(api)
    }

    /// Reads something.
    pub(super) async fn get<T: DeserializeOwned>(&self, who: &Visitor, path: &str) -> Result<T, Trouble> {
        self.ask(who, Question::get(path)).await
    }

    /// Asks anything.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        who: &Visitor,
        question: Question,
    ) -> Result<T, Trouble> {
        let answer = self.send(who, question).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MOST_ANSWER).collect().await;
        let bytes = body.map_err(|_| Trouble::of_ours("an answer was not read whole"))?.to_bytes();
        if !status.is_success() {
            return Err(
                serde_json::from_slice(&bytes).unwrap_or_else(|_| Trouble::of_ours("a refusal has no words"))
            );
        }
        serde_json::from_slice(&bytes).map_err(|error| Trouble::of_ours(&format!("an answer: {error}")))
    }

    async fn send(&self, who: &Visitor, question: Question) -> Result<Response, Trouble> {
        let Question { method, path, headers, body } = question;
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let body = match body {
            Some(value) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(value.to_string())
            }
            None => Body::empty(),
        };
        let mut request = request.body(body).map_err(|error| Trouble::of_ours(&error.to_string()))?;
        let extensions = request.extensions_mut();
        extensions.insert(std::sync::Arc::clone(&who.principal));
        extensions.insert(who.login.clone());
        extensions.insert(RequestId(who.request_id.clone()));
        // A router answers everything; it has no other way to fail.
        let Ok(answer) = self.0.clone().oneshot(request).await;
        Ok(render(answer, &who.request_id))
    }
}

/// One request to the API.
pub(super) struct Question {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl Question {
    pub(super) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn delete(path: &str) -> Self {
        Self::new(Method::DELETE, path)
    }

    fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: None }
    }

    pub(super) fn json(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// For the revision that was read.
    pub(super) fn if_match(mut self, revision: u64) -> Self {
        self.headers.push(("if-match", format!("\"{revision}\"")));
        self
    }
}

/// A path's query of these, without those that are empty.
pub(super) fn query(path: &str, values: &BTreeMap<&str, String>) -> String {
    let told = values.iter().filter(|(_, value)| !value.is_empty());
    let pairs = pairs(told.map(|(name, value)| (*name, value.as_str())));
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{pairs}") }
}

/// What the API refused, in its own words.
#[derive(Clone, Debug, serde::Deserialize)]
pub(super) struct Trouble {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) detail: String,
    pub(super) request_id: String,
}

impl Trouble {
    fn of_ours(detail: &str) -> Self {
        tracing::error!(code = "internal", reason = detail, "the page could not ask the API");
        Self {
            status: 500,
            code: "internal".to_owned(),
            detail: "try again".to_owned(),
            request_id: String::new(),
        }
    }

    /// Something that a form says makes no sense to the page itself.
    pub(super) fn said(code: &str, detail: &str) -> Self {
        Self { status: 422, code: code.to_owned(), detail: detail.to_owned(), request_id: String::new() }
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The API's events, for as long as the login lasts; the browser comes again with
/// the id of the last event, and finds itself signed out.
pub(super) async fn live(State(page): State<Page>, who: Visitor, headers: HeaderMap) -> Response {
    let mut question = Question::get("/v1/events");
    if let Some(last) = headers.get("last-event-id").and_then(|value| value.to_str().ok()) {
        question.headers.push(("last-event-id", last.to_owned()));
    }
    let left = who.until.saturating_duration_since(Instant::now()).min(LONGEST_STREAM);
    match page.asker.send(&who, question).await {
        Ok(answer) if answer.status().is_success() => answer.map(|body| {
            let over = Box::pin(tokio::time::sleep(left));
            Body::from_stream(body.into_data_stream().take_until(over))
        }),
        Ok(answer) => answer,
        Err(trouble) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = trouble.status();
            response
        }
    }
}

/// The largest answer is a page of a thousand rows.
const MOST_ANSWER: usize = 8 * 1024 * 1024;

/// A browser that was left alone asks again, and its login may be over by idleness.
const LONGEST_STREAM: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_place() {
        let values = BTreeMap::from([("code", String::new()), ("actor", "x&limit=1".to_owned())]);
        assert_eq!(query("/v1/audit", &values), "/v1/audit?actor=x%26limit%3D1");
    }
}
