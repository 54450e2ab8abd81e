use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{NumberDataPoint, metric::Data, number_data_point},
    resource::v1::Resource,
};
use prost::Message;

use crate::{Collector, hex};

/// Everything that several programs told, each item with who told it.
#[derive(Clone, Debug, Default)]
pub struct ByService {
    /// Spans.
    pub spans: Vec<ToldSpan>,
    /// Log records.
    pub logs: Vec<ToldLog>,
    /// Figures of all requests: service, `name{label=value,…}`, value.
    pub figures: Vec<(String, String, f64)>,
    /// The body of every request as it came.
    pub bytes: Vec<u8>,
}

/// A span, ids as `traceparent` writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldSpan {
    /// `service.name`.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Its trace.
    pub trace: String,
    /// Itself.
    pub id: String,
    /// Empty for the first of a trace.
    pub parent: String,
    /// `name=value`.
    pub attributes: Vec<String>,
    /// Whether it failed.
    pub failed: bool,
}

/// A log record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldLog {
    /// `service.name`.
    pub service: String,
    /// The message.
    pub body: String,
    /// Of the trace it names, or empty.
    pub trace: String,
    /// `name=value`.
    pub attributes: Vec<String>,
}

impl Collector {
    /// Waits for the one span of a service with this name in this trace.
    ///
    /// # Panics
    /// As [`Collector::until`].
    pub async fn span(&self, service: &str, name: &str, trace: &str) -> ToldSpan {
        let wanted = |span: &&ToldSpan| (&*span.service, &*span.name, &*span.trace) == (service, name, trace);
        self.until(|told| told.by_service.spans.iter().find(wanted).cloned()).await
    }
}

impl ByService {
    pub(crate) fn take(&mut self, path: &str, body: &[u8]) {
        self.bytes.extend_from_slice(body);
        match path.rsplit('/').next() {
            Some("traces") => self.spans(body),
            Some("logs") => self.logs(body),
            _ => self.figures(body),
        }
    }

    fn spans(&mut self, body: &[u8]) {
        for of in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
            let service = service(of.resource.as_ref());
            for span in of.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.spans.push(ToldSpan {
                    service: service.clone(),
                    name: span.name,
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    attributes: pairs(&span.attributes),
                    failed: span.status.is_some_and(|status| status.code == 2),
                });
            }
        }
    }

    fn logs(&mut self, body: &[u8]) {
        for of in ExportLogsServiceRequest::decode(body).unwrap().resource_logs {
            let service = service(of.resource.as_ref());
            for log in of.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                self.logs.push(ToldLog {
                    service: service.clone(),
                    body: log.body.and_then(|body| body.value).as_ref().map(text).unwrap_or_default(),
                    trace: hex(&log.trace_id),
                    attributes: pairs(&log.attributes),
                });
            }
        }
    }

    fn figures(&mut self, body: &[u8]) {
        for of in ExportMetricsServiceRequest::decode(body).unwrap().resource_metrics {
            let service = service(of.resource.as_ref());
            for metric in of.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let points = match metric.data {
                    Some(Data::Sum(sum)) => sum.data_points,
                    Some(Data::Gauge(gauge)) => gauge.data_points,
                    _ => Vec::new(),
                };
                self.figures.extend(points.iter().map(|point| {
                    let labels = pairs(&point.attributes).join(",");
                    (service.clone(), format!("{}{{{labels}}}", metric.name), number(point))
                }));
            }
        }
    }
}

fn service(resource: Option<&Resource>) -> String {
    let attributes = resource.map(|resource| pairs(&resource.attributes)).unwrap_or_default();
    let name = attributes.iter().find_map(|pair| pair.strip_prefix("service.name="));
    name.unwrap_or_default().to_owned()
}

fn pairs(attributes: &[KeyValue]) -> Vec<String> {
    let pair = |pair: &KeyValue| {
        let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
        format!("{}={}", pair.key, value.map(text).unwrap_or_default())
    };
    attributes.iter().map(pair).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(yes) => yes.to_string(),
        other => format!("{other:?}"),
    }
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(number_data_point::Value::AsDouble(number)) => number,
        Some(number_data_point::Value::AsInt(number)) => number as f64,
        None => f64::NAN,
    }
}
