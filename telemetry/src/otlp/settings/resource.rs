use super::{environment::percent_decoded, error::BadSetting};
use crate::Value;

/// Which program tells: attributes of all that it sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource(Vec<(String, Value)>);

impl Resource {
    /// `service.name` and `service.version`.
    pub fn new(service: &str, version: &str) -> Self {
        Self(Vec::new()).with("service.name", service.to_owned()).with("service.version", version.to_owned())
    }

    /// With this one too, in place of one of the same name.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into().bounded();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, said)) => *said = value,
            None => self.0.push((name.to_owned(), value)),
        }
        self
    }

    /// With `name=value` pairs of `OTEL_RESOURCE_ATTRIBUTES` (values percent-encoded).
    ///
    /// # Errors
    /// [`BadSetting::Resource`] with the pair that is none; nothing is taken then, as
    /// OpenTelemetry's specification asks.
    pub fn with_pairs(mut self, text: &str) -> Result<Self, BadSetting> {
        for (index, pair) in text.split(',').enumerate() {
            let (number, pair) = (index + 1, pair.trim());
            if pair.is_empty() {
                continue;
            }
            let bad = |why| BadSetting::Resource { number, why };
            let (name, value) = pair.split_once('=').ok_or(bad("no `name=value`"))?;
            let value = percent_decoded(value.trim()).ok_or(bad("a `%` without two digits"))?;
            let value = String::from_utf8(value).map_err(|_| bad("not UTF-8"))?;
            if name.trim().is_empty() {
                return Err(bad("it has no name"));
            }
            self = self.with(name.trim(), value);
            if self.0.len() > MOST {
                return Err(bad("too many attributes"));
            }
        }
        Ok(self)
    }

    pub(in crate::otlp) fn attributes(&self) -> &[(String, Value)] {
        &self.0
    }
}

const MOST: usize = 64;
