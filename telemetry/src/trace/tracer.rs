use std::{fmt, sync::Arc};

use super::{
    context::TraceContext,
    ratio::Ratio,
    span::{Finished, Kind, Span},
};
use crate::queue::Queue;

/// Where spans begin. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Recorder>>);

pub(super) struct Recorder {
    ratio: Ratio,
    finished: Arc<Queue<Finished>>,
}

impl Tracer {
    /// Records nothing. Its spans hand on the context they were given.
    pub fn off() -> Self {
        Self(None)
    }

    /// Records into this queue.
    #[cfg_attr(not(any(test, feature = "otlp")), allow(dead_code, reason = "there is no exporter"))]
    pub(crate) fn recording(ratio: Ratio, finished: Arc<Queue<Finished>>) -> Self {
        Self(Some(Arc::new(Recorder { ratio, finished })))
    }

    /// Begins a span.
    ///
    /// With a parent it belongs to the parent's trace, and is recorded if that is.
    /// Without, it begins a trace, which is recorded by the ratio.
    pub fn span(&self, name: &'static str, kind: Kind, parent: Option<&TraceContext>) -> Span {
        let Some(recorder) = &self.0 else { return Span::silent(parent.copied()) };
        let context = match parent {
            // Nobody records it, so nobody misses an id of its own.
            Some(parent) if !parent.sampled() => return Span::silent(Some(*parent)),
            Some(parent) => parent.child(),
            None => TraceContext::root(|trace| recorder.ratio.takes(trace)),
        };
        match context {
            Some(context) if context.sampled() => {
                Span::recording(Arc::clone(recorder), context, parent.map(TraceContext::span_id), name, kind)
            }
            unsampled => Span::silent(unsampled),
        }
    }

    /// Whether anything is recorded at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }
}

impl Recorder {
    pub(super) fn keep(&self, span: Finished) {
        let weight = span.weight();
        self.finished.push(span, weight);
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.0.as_ref().map(|recorder| recorder.ratio)).finish()
    }
}
