use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    context::TraceContext,
    ids::SpanId,
    tracer::{Recorder, Tracer},
    value::Value,
};
use crate::names;

/// Something that is being done. Ends with [`Span::end`], or without a status when it is dropped.
///
/// ```
/// # use countersign_telemetry::{Kind, Span, Status, TraceContext, Tracer, names};
/// # fn dial() -> Result<(), &'static str> { Ok(()) }
/// # fn open(tracer: &Tracer, traceparent: Option<&TraceContext>, host: &str) {
/// let mut span = tracer.span("CONNECT", Kind::Server, traceparent);
/// span.set_with(names::SERVER_ADDRESS, || host.to_owned().into());
/// // What goes out carries the span's own context:
/// let header = span.context().map(|context| context.to_string());
/// match dial() {
///     Ok(()) => span.end(Status::Unset),
///     Err(code) => span.fail(code),
/// }
/// # }
/// ```
#[must_use = "a span measures until it ends"]
pub struct Span(State);

enum State {
    /// Nobody will see it. What it was given goes on to the next.
    Silent(Option<TraceContext>),
    /// `None` once it ended.
    Recording(Option<Box<Open>>),
}

struct Open {
    recorder: Arc<Recorder>,
    span: Finished,
    began: Instant,
}

/// A span that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Its own context.
    pub context: TraceContext,
    /// The span it belongs to; `None` for the first of a trace.
    pub parent: Option<SpanId>,
    /// One of few: never what differs from request to request.
    pub name: &'static str,
    /// Which end of a request this was.
    pub kind: Kind,
    /// By the wall clock.
    pub began: SystemTime,
    /// `began`, and as long as it took by the monotonic clock.
    pub ended: SystemTime,
    /// In the order they were first set; each name once.
    pub attributes: Vec<(&'static str, Value)>,
    /// Attributes beyond the [`Span::MOST_ATTRIBUTES`] that are kept.
    pub dropped_attributes: u32,
    /// What became of it.
    pub status: Status,
}

/// Which end of a request a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work inside this program.
    Internal,
    /// A request that this program answers.
    Server,
    /// A request that this program sends.
    Client,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing went wrong that anybody knows of. The usual end: `Ok` is for a person to say.
    #[default]
    Unset,
    /// Known to be well.
    Ok,
    /// It failed, for this reason: a code, or few words without a secret.
    Error(Cow<'static, str>),
}

impl Span {
    /// Attributes that are kept of one span.
    pub const MOST_ATTRIBUTES: usize = 32;

    /// A span of no tracer: what has no request to follow.
    pub const fn none() -> Self {
        Self(State::Silent(None))
    }

    pub(super) fn silent(context: Option<TraceContext>) -> Self {
        Self(State::Silent(context))
    }

    pub(super) fn recording(
        recorder: Arc<Recorder>,
        context: TraceContext,
        parent: Option<SpanId>,
        name: &'static str,
        kind: Kind,
    ) -> Self {
        let now = SystemTime::now();
        let span = Finished {
            context,
            parent,
            name,
            kind,
            began: now,
            ended: now,
            attributes: Vec::new(),
            dropped_attributes: 0,
            status: Status::Unset,
        };
        Self(State::Recording(Some(Box::new(Open { recorder, span, began: Instant::now() }))))
    }

    /// What goes out in the `traceparent` of a request that is part of this span; also
    /// what log lines name. `None` where there is no trace.
    pub fn context(&self) -> Option<TraceContext> {
        match &self.0 {
            State::Silent(context) => *context,
            State::Recording(open) => open.as_ref().map(|open| open.span.context),
        }
    }

    /// Whether anybody will see it.
    pub fn is_recording(&self) -> bool {
        matches!(self.0, State::Recording(Some(_)))
    }

    /// Begins a span inside this one.
    pub fn child(&self, tracer: &Tracer, name: &'static str, kind: Kind) -> Self {
        match self.context() {
            Some(context) => tracer.span(name, kind, Some(&context)),
            // There is no trace because nobody records: a child must not begin one.
            None => Self::none(),
        }
    }

    /// Notes something, in place of what the same name said before.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.set_with(key, || value.into());
    }

    /// As [`Self::set`], for a value that costs something to make.
    pub fn set_with(&mut self, key: &'static str, value: impl FnOnce() -> Value) {
        let State::Recording(Some(open)) = &mut self.0 else { return };
        let span = &mut open.span;
        if let Some((_, said)) = span.attributes.iter_mut().find(|(known, _)| *known == key) {
            *said = value().bounded();
        } else if span.attributes.len() < Self::MOST_ATTRIBUTES {
            span.attributes.push((key, value().bounded()));
        } else {
            span.dropped_attributes += 1;
        }
    }

    /// It failed for this code, one of this program: `error.type`, and the status.
    pub fn fail(mut self, code: &'static str) {
        self.set(names::ERROR_TYPE, code);
        self.end(Status::Error(Cow::Borrowed(code)));
    }

    /// It is over.
    pub fn end(mut self, status: Status) {
        self.finish(status);
    }

    fn finish(&mut self, status: Status) {
        let State::Recording(open) = &mut self.0 else { return };
        let Some(mut open) = open.take() else { return };
        open.span.ended = open.span.began + open.began.elapsed();
        open.span.status = status;
        open.recorder.keep(open.span);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.finish(Status::Unset);
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Silent(context) => f.debug_tuple("Silent").field(context).finish(),
            State::Recording(open) => {
                f.debug_tuple("Recording").field(&open.as_ref().map(|open| &open.span)).finish()
            }
        }
    }
}

impl Finished {
    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let attributes: usize =
            self.attributes.iter().map(|(_, value)| size_of::<(&str, Value)>() + value.weight()).sum();
        size_of::<Self>() + attributes
    }
}
