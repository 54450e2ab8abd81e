use tracing::Level;

use super::{
    super::{messages::LogRecord, record::Record},
    any, attribute, nanos,
};

pub(in crate::otlp) fn log_record(record: Record) -> LogRecord {
    let at = nanos(record.at);
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: severity(record.level),
        severity_text: record.level.as_str().to_owned(),
        body: Some(any(record.body.into())),
        attributes: record.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
        dropped_attributes_count: record.dropped_attributes,
        trace_id: record.trace.map(|trace| trace.bytes().to_vec()).unwrap_or_default(),
        span_id: record.span.map(|span| span.bytes().to_vec()).unwrap_or_default(),
    }
}

/// `SeverityNumber`: the first of each range of four.
fn severity(level: Level) -> i32 {
    match level {
        Level::TRACE => 1,
        Level::DEBUG => 5,
        Level::INFO => 9,
        Level::WARN => 13,
        Level::ERROR => 17,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use opentelemetry_proto::tonic::{
        collector::logs::v1::ExportLogsServiceRequest, logs::v1::SeverityNumber,
    };
    use prost::Message;

    use super::{
        super::{super::settings::Resource, read, request},
        *,
    };
    use crate::{SpanId, TraceId};

    #[test]
    fn a_record_is_read_by_others_as_it_was_meant() {
        let severities = [
            (Level::TRACE, SeverityNumber::Trace),
            (Level::DEBUG, SeverityNumber::Debug),
            (Level::INFO, SeverityNumber::Info),
            (Level::WARN, SeverityNumber::Warn),
            (Level::ERROR, SeverityNumber::Error),
        ];
        for (level, number) in severities {
            let record = Record {
                at: UNIX_EPOCH + Duration::from_nanos(7),
                level,
                body: "refused".to_owned(),
                attributes: vec![("code", "x".into())],
                dropped_attributes: 2,
                trace: TraceId::new([1; 16]),
                span: SpanId::new([2; 8]),
            };
            let sent = request(&Resource::new("s", "1"), vec![log_record(record)]);
            let read = ExportLogsServiceRequest::decode(sent).unwrap();
            let [log] = read.resource_logs[0].scope_logs[0].log_records.as_slice() else {
                panic!("{read:?}")
            };
            assert_eq!((log.severity_number(), log.severity_text.as_str()), (number, level.as_str()));
            assert_eq!(log.body.clone().unwrap().value, Some(read::text("refused")));
            assert_eq!(read::attributes(&log.attributes), [("code", read::text("x"))]);
            assert_eq!((log.time_unix_nano, log.observed_time_unix_nano), (7, 7));
            assert_eq!((log.trace_id.as_slice(), log.span_id.as_slice()), (&[1; 16][..], &[2; 8][..]));
            assert_eq!(log.dropped_attributes_count, 2);
        }
    }
}
