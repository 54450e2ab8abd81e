use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::Metric,
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    time::timeout,
};

use crate::ByService;

/// A collector of OpenTelemetry (OTLP over HTTP) that keeps what it is told. It reads
/// with the messages that OpenTelemetry generates, so it takes nothing that another
/// collector would not.
#[derive(Clone, Debug)]
pub struct Collector {
    told: Arc<watch::Sender<Told>>,
    answer: Arc<Mutex<Answer>>,
}

/// What a collector was told so far.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Path and headers of each request, those that were turned away too.
    pub requests: Vec<(String, HeaderMap)>,
    /// Of the last request that was taken.
    pub resource: Vec<KeyValue>,
    /// All spans.
    pub spans: Vec<Span>,
    /// All log records.
    pub logs: Vec<LogRecord>,
    /// The figures of the last request.
    pub metrics: Vec<Metric>,
    /// All of it again, where several programs tell one collector.
    pub by_service: ByService,
}

/// What a collector does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Takes it.
    Take,
    /// Takes it, and says that it dropped so many of its items.
    Reject(i64),
    /// Answers with this status, and this `Retry-After`.
    Status(u16, Option<u64>),
    /// Never answers.
    Hang,
    /// Takes it, and closes the connection behind the answer.
    TakeAndClose,
}

impl Default for Collector {
    fn default() -> Self {
        Self { told: Arc::default(), answer: Arc::new(Mutex::new(Answer::Take)) }
    }
}

impl Collector {
    /// Listens on loopback; gives the address too.
    pub async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Self::default();
        let serving = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        (collector, address)
    }

    /// From now on does this.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Serves one connection, to its end.
    pub async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let service = service_fn(move |request| {
            let collector = self.clone();
            async move { Ok::<_, Infallible>(collector.answered(request).await) }
        });
        // An exporter may go at any time.
        let _: Result<(), hyper::Error> =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    /// What it was told by now.
    pub fn told(&self) -> Told {
        self.told.borrow().clone()
    }

    /// Waits until it was told something, and gives that.
    ///
    /// # Panics
    /// When that takes two minutes.
    pub async fn until<T>(&self, look: impl Fn(&Told) -> Option<T>) -> T {
        let mut told = self.told.subscribe();
        let found = async {
            loop {
                if let Some(found) = look(&told.borrow_and_update()) {
                    return found;
                }
                told.changed().await.unwrap();
            }
        };
        match timeout(Duration::from_secs(120), found).await {
            Ok(found) => found,
            Err(_) => panic!("the collector was not told in time, but this: {:#?}", self.told()),
        }
    }

    async fn answered(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        self.told.send_modify(|told| told.requests.push((path.clone(), parts.headers)));
        let answer = *self.answer.lock().unwrap();
        let mut response = Response::new(Full::default());
        match answer {
            Answer::Hang => std::future::pending().await,
            Answer::Status(status, after) => {
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                if let Some(after) = after {
                    response.headers_mut().insert(header::RETRY_AFTER, after.into());
                }
            }
            Answer::Take | Answer::Reject(_) | Answer::TakeAndClose => {
                self.told.send_modify(|told| told.take(&path, body));
            }
        }
        if let Answer::Reject(items) = answer {
            // `Export…ServiceResponse { partial_success: { rejected: items } }`, the same for all signals.
            let partial = opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse {
                partial_success: Some(
                    opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess {
                        rejected_spans: items,
                        error_message: "too old".to_owned(),
                    },
                ),
            };
            *response.body_mut() = Full::from(partial.encode_to_vec());
        }
        if answer == Answer::TakeAndClose {
            response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        }
        response
    }
}

impl Told {
    fn take(&mut self, path: &str, body: Bytes) {
        self.by_service.take(path, &body);
        if path.ends_with("/v1/traces") {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            for of_resource in request.resource_spans {
                self.from(of_resource.resource);
                self.spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        } else if path.ends_with("/v1/logs") {
            let request = ExportLogsServiceRequest::decode(body).unwrap();
            for of_resource in request.resource_logs {
                self.from(of_resource.resource);
                self.logs.extend(of_resource.scope_logs.into_iter().flat_map(|scope| scope.log_records));
            }
        } else if path.ends_with("/v1/metrics") {
            let request = ExportMetricsServiceRequest::decode(body).unwrap();
            self.metrics.clear();
            for of_resource in request.resource_metrics {
                self.from(of_resource.resource);
                self.metrics.extend(of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
            }
        } else {
            panic!("no path of OTLP: {path}");
        }
    }

    fn from(&mut self, resource: Option<Resource>) {
        self.resource = resource.expect("a resource").attributes;
    }
}

/// The value of an attribute.
pub fn attribute<'a>(of: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    of.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()
}

/// Bytes of an id as they stand in a `traceparent`.
pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
