//! The exporter against a collector that reads with OpenTelemetry's own messages.
#![cfg(feature = "otlp")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign_telemetry::{
    Counts, Kind, Loss, Signal, Span, Status, Tracer,
    metrics::{Figure, Metric, Number, Points},
    otlp::{Anchors, Connect, Connecting, Endpoint, Headers, Otlp, Resource, Settings, Stream, TcpConnect},
};
use countersign_test_support::{Answer, Collector, attribute, hex};
use opentelemetry_proto::tonic::{
    common::v1::any_value::Value,
    metrics::v1::{metric::Data, number_data_point},
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt;

#[tokio::test]
async fn all_three_signals_arrive_as_they_were_told() {
    let (collector, address) = Collector::start().await;
    let mut settings = settings(&format!("http://{address}/tenant/"));
    settings.headers = Headers::of_lines("x-key: planted").unwrap();
    let otlp = Otlp::new(settings).unwrap().with_attribute("service.instance.id", "i-1".to_owned());
    let (tracer, counts) = (otlp.tracer(), otlp.counts());
    let logged = tracing::subscriber::set_default(tracing_subscriber::registry().with(otlp.layer()));

    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let mut outer = tracer.span("outer", Kind::Server, Some(&parent));
    outer.set("bytes", 7_u64);
    let inner = outer.child(&tracer, "inner", Kind::Client);
    let (outer_id, inner_id) = (outer.context().unwrap(), inner.context().unwrap());
    tracing::warn!(
        code = "refused", port = 443_u64, trace_id = %inner_id.trace_id(), span_id = %inner_id.span_id(), "no {}", "way"
    );
    inner.fail("denied");
    outer.end(Status::Unset);

    let figures = || {
        let number = Number { labels: vec![("a".to_owned(), "b".to_owned())], value: Figure::Int(3) };
        let points = Points::Counter(vec![number]);
        vec![Metric { name: "things".to_owned(), description: String::new(), unit: "", points }]
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(otlp.run(TcpConnect, figures, stop.clone()));
    stop.cancel();
    running.await.unwrap();
    drop(logged);

    let told = collector.told();
    let mut paths: Vec<_> = told.requests.iter().map(|(path, _)| path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/tenant/v1/logs", "/tenant/v1/metrics", "/tenant/v1/traces"]);
    for (_, headers) in &told.requests {
        assert_eq!(headers["x-key"], "planted");
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(headers["host"], address.to_string());
    }
    assert_eq!(attribute(&told.resource, "service.name"), Some(&text("test")));
    assert_eq!(attribute(&told.resource, "service.instance.id"), Some(&text("i-1")));

    let [inner, outer] = told.spans.as_slice() else { panic!("{:?}", told.spans) };
    assert_eq!((inner.name.as_str(), outer.name.as_str()), ("inner", "outer"));
    assert_eq!(hex(&outer.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&outer.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(outer.span_id, outer_id.span_id().bytes());
    assert_eq!((&inner.parent_span_id, &inner.trace_id), (&outer.span_id, &outer.trace_id));
    assert_eq!(attribute(&outer.attributes, "bytes"), Some(&Value::IntValue(7)));
    assert_eq!(attribute(&inner.attributes, "error.type"), Some(&text("denied")));

    let [log] = told.logs.as_slice() else { panic!("{:?}", told.logs) };
    assert_eq!(log.body.as_ref().unwrap().value, Some(text("no way")));
    assert_eq!((log.severity_text.as_str(), log.severity_number), ("WARN", 13));
    assert_eq!((&log.trace_id, &log.span_id), (&inner.trace_id, &inner.span_id));
    assert_eq!(attribute(&log.attributes, "code"), Some(&text("refused")));
    assert_eq!(attribute(&log.attributes, "port"), Some(&Value::IntValue(443)));

    let [things] = told.metrics.as_slice() else { panic!("{:?}", told.metrics) };
    let Some(Data::Sum(sum)) = &things.data else { panic!("{things:?}") };
    assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(3)));
    assert_eq!(exported(&counts), [2, 1, 1]);
    assert_eq!(lost(&counts), [[0; 3]; 3]);
}

#[tokio::test]
async fn a_collector_is_checked_by_its_certificate() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let collector = Collector::default();
    let serving = collector.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(tcp).await {
                tokio::spawn(serving.clone().serve(stream));
            }
        }
    });

    for (anchors, taken) in [(Anchors::Only(vec![certificate.der().clone()]), 1), (Anchors::Public, 0)] {
        let mut settings = settings(&format!("https://{address}"));
        settings.anchors = anchors;
        let otlp = Otlp::new(settings).unwrap();
        let counts = otlp.counts();
        spans(&otlp.tracer(), 1);
        let stop = CancellationToken::new();
        stop.cancel();
        otlp.run(TcpConnect, (), stop).await;
        assert_eq!(counts.exported(Signal::Traces), taken);
        assert_eq!(counts.lost(Signal::Traces, Loss::NotSent), 1 - taken);
    }
    assert_eq!(collector.told().spans.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_busy_is_asked_again_when_it_says() {
    for status in [429, 502, 503, 504] {
        let rig = Rig::new();
        rig.collector.answer(Answer::Status(status, Some(20)));
        let (running, counts, began) = rig.send(1);
        rig.collector.until(|told| (told.requests.len() == 1).then_some(())).await;
        rig.collector.answer(Answer::Take);
        rig.collector.until(|told| (told.spans.len() == 1).then_some(())).await;
        // A second for company, then what the collector asked for.
        assert_eq!(began.elapsed().as_secs(), 21, "{status}");
        rig.stop.cancel();
        running.await.unwrap();
        assert_eq!(rig.collector.told().requests.len(), 2);
        assert_eq!((exported(&counts), lost(&counts)), ([1, 0, 0], [[0; 3]; 3]));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_collector_refuses_is_not_sent_again() {
    let rig = Rig::new();
    rig.collector.answer(Answer::Status(400, None));
    let (running, counts, _) = rig.send(3);
    rig.collector.until(|told| (told.requests.len() == 1).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.collector.told().requests.len(), 1);
    assert_eq!((exported(&counts), counts.lost(Signal::Traces, Loss::NotSent)), ([0; 3], 3));
    rig.stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_collector_says_it_dropped_is_counted() {
    for (said, dropped) in [(2, 2), (i64::MAX, 3), (-1, 0)] {
        let rig = Rig::new();
        rig.collector.answer(Answer::Reject(said));
        let (running, counts, _) = rig.send(3);
        rig.stop.cancel();
        running.await.unwrap();
        assert_eq!(counts.exported(Signal::Traces), 3 - dropped);
        assert_eq!(counts.lost(Signal::Traces, Loss::Rejected), dropped);
    }
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_hangs_holds_up_nobody_and_no_more_memory() {
    let rig = Rig::new();
    rig.collector.answer(Answer::Hang);
    let (running, counts, began) = rig.send(10_000);
    assert_eq!(counts.lost(Signal::Traces, Loss::QueueFull), 10_000 - 4096);
    // A request takes ten seconds, the pause behind it up to thirty, a batch about a minute.
    tokio::time::sleep(Duration::from_secs(300)).await;
    let requests = rig.collector.told().requests.len();
    assert!((300 / 40..=300 / 10).contains(&requests), "{requests}");
    let given_up = counts.lost(Signal::Traces, Loss::NotSent);
    assert!(given_up % 512 == 0 && (2 * 512..=6 * 512).contains(&given_up), "{given_up}");
    assert_eq!(counts.exported(Signal::Traces), 0);

    // To stop takes the flush's five seconds and no more.
    let stopped = Instant::now();
    rig.stop.cancel();
    running.await.unwrap();
    assert_eq!(stopped.elapsed().as_secs(), 5, "{:?} in all", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn long_texts_do_not_make_the_queue_larger() {
    let otlp = Otlp::new(settings("http://nobody:4318")).unwrap();
    let tracer = otlp.tracer();
    for _ in 0..4096 {
        let mut span = tracer.span("long", Kind::Internal, None);
        for key in ["a", "b", "c", "d"] {
            span.set(key, "x".repeat(1 << 20));
        }
        span.end(Status::Unset);
    }
    // 4 KiB and a little each: 4 MiB hold fewer than a thousand.
    let dropped = otlp.counts().lost(Signal::Traces, Loss::QueueFull);
    assert!((4096 - 1000..4096 - 800).contains(&dropped), "{dropped}");
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_is_not_there_is_asked_ever_less() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let refuse = move |_: String, _: u16| -> Connecting {
        counting.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    };
    let otlp = Otlp::new(settings("http://nobody:4318")).unwrap();
    let (tracer, counts) = (otlp.tracer(), otlp.counts());
    spans(&tracer, 1);
    let stop = CancellationToken::new();
    let running = tokio::spawn(otlp.run(refuse, (), stop.clone()));
    tokio::time::sleep(Duration::from_secs(120)).await;
    let tries = asked.load(Ordering::Relaxed);
    // At 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 and 61.5 s without jitter, which makes them at most twice as many.
    assert!((7..=14).contains(&tries), "{tries}");
    assert_eq!(counts.lost(Signal::Traces, Loss::NotSent), 1);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_connection_carries_all_until_it_is_closed() {
    let rig = Rig::new();
    let (running, _, _) = rig.send(1);
    for batch in 2..=3 {
        rig.collector.until(|told| (told.spans.len() == batch - 1).then_some(())).await;
        spans(&rig.tracer, 1);
    }
    rig.collector.until(|told| (told.spans.len() == 3).then_some(())).await;
    assert_eq!(rig.connections.load(Ordering::Relaxed), 1);

    rig.collector.answer(Answer::TakeAndClose);
    for batch in 4..=5 {
        spans(&rig.tracer, 1);
        rig.collector.until(|told| (told.spans.len() == batch).then_some(())).await;
    }
    assert_eq!(rig.connections.load(Ordering::Relaxed), 2);
    rig.stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_exporter_never_tells_of_itself() {
    let rig = Rig::new();
    // Everything that hyper and the exporter say, at every level. With one subscriber alive, a line
    // that another test's thread writes first would be off for good, and nothing proven.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::registry().with(rig.layer());
    let logged = tracing::subscriber::set_default(subscriber);
    rig.collector.answer(Answer::Status(503, None));
    let connect = rig.connect();
    let talkative = move |host: String, port: u16| -> Connecting {
        tracing::info!("connecting");
        connect.connect(&host, port)
    };
    tracing::info!("the one line");
    let (running, counts, _) = rig.send_over(0, talkative);
    tokio::time::sleep(Duration::from_secs(20)).await;
    rig.collector.answer(Answer::Take);
    rig.collector.until(|told| (!told.logs.is_empty()).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    rig.stop.cancel();
    running.await.unwrap();
    drop(logged);
    let bodies: Vec<_> =
        rig.collector.told().logs.into_iter().map(|log| log.body.unwrap().value.unwrap()).collect();
    assert_eq!(bodies, [text("the one line")]);
    assert_eq!(counts.exported(Signal::Logs), 1);
}

#[test]
fn telemetry_that_is_off_hands_on_what_it_was_given() {
    let tracer = Tracer::off();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    let span = tracer.span("x", Kind::Server, Some(&parent));
    assert_eq!((span.context(), span.is_recording()), (Some(parent), false));
    assert_eq!(span.child(&tracer, "y", Kind::Client).context(), Some(parent));
    assert_eq!(tracer.span("x", Kind::Server, None).context(), None);
    assert_eq!(Span::none().context(), None);
}

#[test]
fn what_nobody_records_below_is_not_recorded_here() {
    let otlp = Otlp::new(settings("http://nobody:4318")).unwrap();
    let tracer = otlp.tracer();
    let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00".parse().unwrap();
    let span = tracer.span("x", Kind::Server, Some(&unsampled));
    assert_eq!((span.context(), span.is_recording()), (Some(unsampled), false));

    let mut never = settings("http://nobody:4318");
    never.ratio = countersign_telemetry::Ratio::new(0.0).unwrap();
    let tracer = Otlp::new(never).unwrap().tracer();
    let root = tracer.span("x", Kind::Server, None);
    assert!(!root.is_recording());
    assert!(!root.context().unwrap().sampled(), "whoever comes next does not record it either");
    assert!(!root.child(&tracer, "y", Kind::Client).is_recording());
    let sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
    assert!(tracer.span("x", Kind::Server, Some(&sampled)).is_recording(), "the parent decides");
}

/// An exporter whose collector is behind pipes, so that time can be paused.
struct Rig {
    collector: Collector,
    connections: Arc<AtomicUsize>,
    otlp: std::sync::Mutex<Option<Otlp>>,
    tracer: Tracer,
    stop: CancellationToken,
}

impl Rig {
    fn new() -> Self {
        let otlp = Otlp::new(settings("http://collector:4318")).unwrap();
        let tracer = otlp.tracer();
        Self {
            collector: Collector::default(),
            connections: Arc::default(),
            otlp: std::sync::Mutex::new(Some(otlp)),
            tracer,
            stop: CancellationToken::new(),
        }
    }

    fn layer(&self) -> countersign_telemetry::log::Layer {
        self.otlp.lock().unwrap().as_ref().unwrap().layer()
    }

    fn connect(&self) -> impl Connect + use<> {
        let (collector, connections) = (self.collector.clone(), Arc::clone(&self.connections));
        move |host: String, port: u16| -> Connecting {
            assert_eq!((host.as_str(), port), ("collector", 4318));
            connections.fetch_add(1, Ordering::Relaxed);
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(collector.clone().serve(theirs));
            Box::pin(async { Ok(Box::new(ours) as Box<dyn Stream>) })
        }
    }

    /// Starts with this many spans in the queue.
    fn send(&self, number: usize) -> (JoinHandle<()>, Counts, Instant) {
        self.send_over(number, self.connect())
    }

    fn send_over(&self, number: usize, connect: impl Connect) -> (JoinHandle<()>, Counts, Instant) {
        let otlp = self.otlp.lock().unwrap().take().unwrap();
        spans(&self.tracer, number);
        let counts = otlp.counts();
        (tokio::spawn(otlp.run(connect, (), self.stop.clone())), counts, Instant::now())
    }
}

fn settings(endpoint: &str) -> Settings {
    Settings::new(Endpoint::parse(endpoint).unwrap(), Resource::new("test", "0"))
}

fn spans(tracer: &Tracer, number: usize) {
    (0..number).for_each(|_| tracer.span("x", Kind::Internal, None).end(Status::Unset));
}

fn text(of: &str) -> Value {
    Value::StringValue(of.to_owned())
}

fn exported(counts: &Counts) -> [u64; 3] {
    Signal::ALL.map(|signal| counts.exported(signal))
}

fn lost(counts: &Counts) -> [[u64; 3]; 3] {
    Signal::ALL.map(|signal| Loss::ALL.map(|how| counts.lost(signal, how)))
}
