use super::{
    super::messages::{Span, Status},
    attribute, nanos,
};
use crate::{Finished, Kind, Status as Outcome};

pub(in crate::otlp) fn span(span: Finished) -> Span {
    Span {
        trace_id: span.context.trace_id().bytes().to_vec(),
        span_id: span.context.span_id().bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
        name: span.name.to_owned(),
        kind: match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
        },
        start_time_unix_nano: nanos(span.began),
        end_time_unix_nano: nanos(span.ended),
        attributes: span.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
        dropped_attributes_count: span.dropped_attributes,
        status: match span.status {
            Outcome::Unset => None,
            Outcome::Ok => Some(Status { message: String::new(), code: 1 }),
            Outcome::Error(message) => Some(Status { message: message.into_owned(), code: 2 }),
        },
        flags: u32::from(span.context.sampled()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::any_value::Value as Any,
        trace::v1::{span::SpanKind, status::StatusCode},
    };
    use prost::Message;

    use super::{
        super::{super::settings::Resource, read, request},
        *,
    };
    use crate::{SpanId, TraceContext, Value};

    #[test]
    fn a_span_is_read_by_others_as_it_was_meant() {
        let context: TraceContext =
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
        let finished = Finished {
            context,
            parent: SpanId::new([7; 8]),
            name: "CONNECT",
            kind: Kind::Server,
            began: UNIX_EPOCH + Duration::from_nanos(5),
            ended: UNIX_EPOCH + Duration::from_nanos(9),
            attributes: vec![
                ("server.address", "a.example".into()),
                ("server.port", 443_u16.into()),
                ("ratio", 0.5.into()),
                ("yes", true.into()),
                ("bytes", u64::MAX.into()),
            ],
            dropped_attributes: 3,
            status: Outcome::Error("not-allowed".into()),
        };
        let resource = Resource::new("service", "1.2.3").with("n", Value::Int(-1));
        let sent = request(&resource, vec![span(finished)]);

        let read = ExportTraceServiceRequest::decode(sent).unwrap();
        let [of_resource] = read.resource_spans.as_slice() else { panic!("{read:?}") };
        assert_eq!(
            read::attributes(&of_resource.resource.as_ref().unwrap().attributes),
            [
                ("service.name", read::text("service")),
                ("service.version", read::text("1.2.3")),
                ("n", Any::IntValue(-1))
            ]
        );
        let [of_scope] = of_resource.scope_spans.as_slice() else { panic!("{read:?}") };
        assert_eq!(of_scope.scope.as_ref().unwrap().name, "countersign");
        let [span] = of_scope.spans.as_slice() else { panic!("{read:?}") };
        assert_eq!(span.trace_id, context.trace_id().bytes());
        assert_eq!(span.span_id, context.span_id().bytes());
        assert_eq!(span.parent_span_id, [7; 8]);
        assert_eq!((span.name.as_str(), span.kind()), ("CONNECT", SpanKind::Server));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano, span.flags), (5, 9, 1));
        assert_eq!(
            read::attributes(&span.attributes),
            [
                ("server.address", read::text("a.example")),
                ("server.port", Any::IntValue(443)),
                ("ratio", Any::DoubleValue(0.5)),
                ("yes", Any::BoolValue(true)),
                ("bytes", Any::IntValue(i64::MAX)),
            ]
        );
        assert_eq!(span.dropped_attributes_count, 3);
        let status = span.status.as_ref().unwrap();
        assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "not-allowed"));
    }
}
