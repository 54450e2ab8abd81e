//! Into OTLP's messages.

mod logs;
mod metrics;
mod traces;

use std::{
    fmt::Debug,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use prost::Message;

pub(super) use logs::log_record;
pub(super) use metrics::{metric, points};
pub(super) use traces::span;

use super::{
    messages::{AnyKind, AnyValue, KeyValue, OfResource, OfScope, Request, Resource, Scope},
    settings,
};
use crate::Value;

/// One request with these in it.
pub(super) fn request<T: Message + Default + Debug>(resource: &settings::Resource, items: Vec<T>) -> Bytes {
    let attributes =
        resource.attributes().iter().map(|(key, value)| attribute(key.clone(), value.clone())).collect();
    let scope = Scope { name: SCOPE.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let request = Request {
        of_resources: vec![OfResource {
            resource: Some(Resource { attributes }),
            of_scopes: vec![OfScope { scope: Some(scope), items }],
        }],
    };
    request.encode_to_vec().into()
}

fn attribute(key: impl Into<String>, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(any(value)) }
}

fn any(value: Value) -> AnyValue {
    let value = match value {
        Value::Text(text) => AnyKind::Text(text.into_owned()),
        Value::Int(number) => AnyKind::Int(number),
        Value::Double(number) => AnyKind::Double(number),
        Value::Bool(yes) => AnyKind::Bool(yes),
    };
    AnyValue { value: Some(value) }
}

/// Nanoseconds since 1970; 0, which means unknown, for what is outside of 64 bits.
fn nanos(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).ok().and_then(|since| since.as_nanos().try_into().ok()).unwrap_or(0)
}

/// The name of what measures.
const SCOPE: &str = "countersign";

#[cfg(test)]
pub(super) mod read {
    //! With the messages that OpenTelemetry generates.

    use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};

    pub(crate) fn attributes(of: &[KeyValue]) -> Vec<(&str, Value)> {
        of.iter()
            .map(|pair| (pair.key.as_str(), pair.value.clone().and_then(|value| value.value).unwrap()))
            .collect()
    }

    pub(crate) fn text(of: &str) -> Value {
        Value::StringValue(of.to_owned())
    }
}
