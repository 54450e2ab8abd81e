use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

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
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};

use crate::PATIENCE;

/// An OTLP collector that keeps what it is told, read with the messages that OpenTelemetry generates.
#[derive(Debug)]
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    told: Mutex<Told>,
    changed: Notify,
}

/// Everything that came so far.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Spans.
    pub spans: Vec<ToldSpan>,
    /// Log records.
    pub logs: Vec<ToldLog>,
    /// Figures: service, `name{label=value,…}`, value.
    pub figures: Vec<(String, String, f64)>,
    /// Every request as it came, header and body.
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
    /// Listens on a free port of loopback.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Heard::default());
        let hearing = heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(hearing.clone().hear(stream));
            }
        });
        Self { address, heard }
    }

    /// For `--otlp-endpoint`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until something is found in what was told.
    ///
    /// # Panics
    /// It does not come in time.
    pub async fn find<T>(&self, what: &str, find: impl Fn(&Told) -> Option<T>) -> T {
        let found = async {
            loop {
                let changed = self.heard.changed.notified();
                let mut changed = std::pin::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = find(&self.told()) {
                    return found;
                }
                changed.await;
            }
        };
        match timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => panic!("{what} did not come in time; {:#?}", self.told().spans),
        }
    }

    /// Waits for the one span of a service with this name in this trace.
    pub async fn span(&self, service: &str, name: &str, trace: &str) -> ToldSpan {
        let wanted = |span: &&ToldSpan| (&*span.service, &*span.name, &*span.trace) == (service, name, trace);
        let what = format!("{name} of {service} in {trace}");
        self.find(&what, |told| told.spans.iter().find(wanted).cloned()).await
    }

    /// What came so far.
    pub fn told(&self) -> Told {
        self.heard.told.lock().unwrap().clone()
    }
}

impl Heard {
    async fn hear(self: Arc<Self>, mut stream: TcpStream) {
        let mut spare = Vec::new();
        while let Some((head, body)) = request(&mut stream, &mut spare).await {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            {
                let mut told = self.told.lock().unwrap();
                told.bytes.extend_from_slice(head.as_bytes());
                told.bytes.extend_from_slice(&body);
                match &*path {
                    "/v1/traces" => told.spans(&body),
                    "/v1/logs" => told.logs(&body),
                    "/v1/metrics" => told.figures(&body),
                    other => panic!("nothing is told at {other}"),
                }
            }
            self.changed.notify_waiters();
            let answer =
                b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

/// Head and body of the next request; `None` when the other end is done.
async fn request(stream: &mut TcpStream, spare: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = loop {
        if let Some(end) = spare.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        (stream.read_buf(spare).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8(spare.drain(..end).collect()).unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let length = length.expect("a length");
    while spare.len() < length {
        (stream.read_buf(spare).await.ok()? > 0).then_some(())?;
    }
    Some((head, spare.drain(..length).collect()))
}

impl Told {
    fn spans(&mut self, body: &[u8]) {
        for of in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
            let service = service(of.resource.as_ref());
            for span in of.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.spans.push(ToldSpan {
                    service: service.clone(),
                    name: span.name,
                    trace: hex::encode(span.trace_id),
                    id: hex::encode(span.span_id),
                    parent: hex::encode(span.parent_span_id),
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
                    trace: hex::encode(log.trace_id),
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
