use std::time::SystemTime;

use crate::{SpanId, TraceId, Value};

/// One event, as it will be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When.
    pub at: SystemTime,
    /// How grave.
    pub level: tracing::Level,
    /// The message.
    pub body: String,
    /// Its fields.
    pub attributes: Vec<(&'static str, Value)>,
    /// Fields beyond those that are kept.
    pub dropped_attributes: u32,
    /// The trace that its field `trace_id` names.
    pub trace: Option<TraceId>,
    /// The span that its field `span_id` names.
    pub span: Option<SpanId>,
}

impl Record {
    /// About how many bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let attributes: usize =
            self.attributes.iter().map(|(_, value)| size_of::<(&str, Value)>() + value.weight()).sum();
        size_of::<Self>() + self.body.len() + attributes
    }
}
