use std::path::Path;

use toml::Spanned;

use super::{mistake::Collector, raw::RawSessionCa};
use crate::ca::SessionRoot;

pub(super) fn session_root(raw: RawSessionCa, directory: &Path, found: &Collector) -> Option<SessionRoot> {
    let RawSessionCa { file, kms_key, endpoint } = raw;
    if let (None, Some(endpoint)) = (&kms_key, &endpoint) {
        found.note(endpoint.span(), "session_ca.endpoint", "expected kms_key beside it; found none");
    }
    match (file, kms_key) {
        (None, None) => Some(SessionRoot::State),
        // Opened at the start: a secret may be mounted later than a file is checked.
        (Some(file), None) => Some(SessionRoot::File(directory.join(file.get_ref()))),
        (None, Some(key)) => kms(&key, endpoint.as_ref(), found),
        (Some(_), Some(key)) => {
            let message = "expected one root; found \"file\" beside it, and they exclude each other";
            found.note(key.span(), "session_ca.kms_key", message);
            None
        }
    }
}

#[cfg(not(feature = "aws"))]
fn kms(key: &Spanned<String>, _endpoint: Option<&Spanned<String>>, found: &Collector) -> Option<SessionRoot> {
    let message =
        "this build does not know AWS KMS; one with the cargo feature \"aws\" does (or name a file)";
    found.note(key.span(), "session_ca.kms_key", message);
    None
}

#[cfg(feature = "aws")]
fn kms(key: &Spanned<String>, endpoint: Option<&Spanned<String>>, found: &Collector) -> Option<SessionRoot> {
    use crate::ca::KmsKey;

    let noted = |value: &Spanned<String>, field, error| {
        found.note(value.span(), field, format!("{error}; found \"{}\"", value.get_ref()));
    };
    let parsed = KmsKey::new(key.get_ref()).map_err(|error| noted(key, "session_ca.kms_key", error)).ok()?;
    let Some(endpoint) = endpoint else { return Some(SessionRoot::Kms(parsed)) };
    let placed = parsed.at(endpoint.get_ref());
    placed.map_err(|error| noted(endpoint, "session_ca.endpoint", error)).ok().map(SessionRoot::Kms)
}
