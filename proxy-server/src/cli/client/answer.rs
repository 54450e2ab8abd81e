use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::Unreached;

/// What the API answered, read whole.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// The body as the API wrote it.
    pub(in crate::cli) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as this command reads it.
    ///
    /// # Errors
    /// [`Unreached::NotUnderstood`]: it is another kind of server, or of another version.
    pub(in crate::cli) fn json<T: DeserializeOwned>(&self) -> Result<T, Unreached> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Unreached::NotUnderstood { reason: error.to_string() })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
