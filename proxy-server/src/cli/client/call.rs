use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::percent::encoded;

/// One request to the admin API, before anybody knows where that is.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Call {
    pub(super) method: Method,
    /// Path and query, encoded.
    pub(super) target: String,
    /// Name and value.
    pub(super) headers: Vec<(&'static str, String)>,
    /// JSON.
    pub(super) body: Option<Vec<u8>>,
    /// What is allowed on top of [`Deadline::ANSWER`], because the API waits for something.
    pub(super) waits: Duration,
}

/// How long things may take.
pub(in crate::cli) struct Deadline;

impl Deadline {
    /// Until a connection stands, TLS included.
    pub(in crate::cli) const CONNECTION: Duration = Duration::from_secs(10);
    /// From the request to the last byte of its answer. The API's own deadline is 20 s.
    pub(in crate::cli) const ANSWER: Duration = Duration::from_secs(30);
    /// Between two pieces of a stream.
    pub(in crate::cli) const PIECE: Duration = Duration::from_secs(60);
}

impl Call {
    pub(in crate::cli) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path.into())
    }

    pub(in crate::cli) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path.into())
    }

    pub(in crate::cli) fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path.into())
    }

    pub(in crate::cli) fn patch(path: impl Into<String>) -> Self {
        Self::new(Method::PATCH, path.into())
    }

    pub(in crate::cli) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path.into())
    }

    fn new(method: Method, target: String) -> Self {
        Self { method, target, headers: Vec::new(), body: None, waits: Duration::ZERO }
    }

    /// A parameter of the query, if there is a value.
    pub(in crate::cli) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            let separator = if self.target.contains('?') { '&' } else { '?' };
            self.target.push(separator);
            self.target.push_str(name);
            self.target.push('=');
            self.target.push_str(&encoded(&value.to_string()));
        }
        self
    }

    /// `dry_run`, where a change is only asked about.
    pub(in crate::cli) fn dry_run(self, dry_run: bool) -> Self {
        self.query("dry_run", dry_run.then_some("true"))
    }

    pub(in crate::cli) fn header(mut self, name: &'static str, value: Option<String>) -> Self {
        self.headers.extend(value.map(|value| (name, value)));
        self
    }

    /// `If-Match` with a revision.
    pub(in crate::cli) fn if_revision(self, revision: u64) -> Self {
        self.header("if-match", Some(format!("\"{revision}\"")))
    }

    /// The API waits so long for others before it answers.
    pub(in crate::cli) fn waits(self, waits: Duration) -> Self {
        Self { waits, ..self }
    }

    pub(in crate::cli) fn json(self, body: &Value) -> Self {
        Self { body: Some(body.to_string().into_bytes()), ..self }
    }

    /// For errors: what was asked, without its query.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.method, self.target.split('?').next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_parameter() {
        let call = Call::get("/v1/audit")
            .query("actor", Some("a&b=c d#ä%"))
            .query("none", None::<u8>)
            .query("limit", Some(7));
        assert_eq!(call.target, "/v1/audit?actor=a%26b%3Dc%20d%23%C3%A4%25&limit=7");
        assert_eq!(call.words(), "GET /v1/audit");
    }
}
