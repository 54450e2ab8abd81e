//! The program and a collector of OpenTelemetry.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use countersign_test_support::{Answer, Collector, Told, attribute};
use opentelemetry_proto::tonic::{
    common::v1::any_value::Value,
    logs::v1::LogRecord,
    metrics::v1::{AggregationTemporality, Metric, metric::Data, number_data_point},
};

use super::{Place, Proxy};

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_told_of_the_proxys_whole_life() {
    let (collector, address) = Collector::start().await;
    let place = Place::new("telemetry");
    place.write(&format!(
        "{}[telemetry]\nendpoint = \"http://{address}\"\nheaders_file = \"headers\"\ninterval_seconds = 1\n\
         [telemetry.attributes]\n\"deployment.environment.name\" = \"test\"\n",
        place.good()
    ));
    fs::write(place.0.join("headers"), "# the key\nx-key: planted-secret\n").unwrap();
    let mut command = place.command(&["serve"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = child.stderr.take().unwrap();
    let log = tokio::task::spawn_blocking(move || {
        BufReader::new(log).lines().map(Result::unwrap).collect::<Vec<_>>().join("\n")
    });
    let mut proxy = Running(child);

    let ready = collector.until(|told| coded(told, "ready").cloned()).await;
    assert_eq!(ready.body.unwrap().value, Some(text("all ports accept")));
    assert_eq!((ready.severity_text.as_str(), ready.severity_number), ("INFO", 9));
    assert_eq!(attribute(&ready.attributes, "deployment"), Some(&text("demo")));
    assert!(ready.time_unix_nano > 1_700_000_000_000_000_000);
    assert_eq!(ready.trace_id, Vec::<u8>::new());

    let metrics = collector.until(|told| (!told.metrics.is_empty()).then(|| told.metrics.clone())).await;
    let Some(Data::Sum(attestations)) = &named(&metrics, "countersign_attestations").data else { panic!() };
    assert!(attestations.is_monotonic);
    assert_eq!(attestations.aggregation_temporality(), AggregationTemporality::Cumulative);
    let mut results: Vec<_> = attestations
        .data_points
        .iter()
        .map(|point| (attribute(&point.attributes, "result").cloned().unwrap(), point.value.unwrap()))
        .collect();
    results.sort_by_key(|(result, _)| format!("{result:?}"));
    let none = number_data_point::Value::AsInt(0);
    assert_eq!(results, ["admitted", "refused", "renewed"].map(|word| (text(word), none)));

    let duration = named(&metrics, "countersign_attestation_duration_seconds");
    assert_eq!(duration.unit, "s");
    let Some(Data::Histogram(histogram)) = &duration.data else { panic!("{duration:?}") };
    for point in &histogram.data_points {
        assert_eq!((point.count, point.sum), (0, Some(0.0)));
        assert_eq!((point.explicit_bounds.len(), point.bucket_counts.len()), (16, 17));
        assert_eq!(point.explicit_bounds[0], 0.0005);
    }
    let Some(Data::Gauge(epoch)) = &named(&metrics, "countersign_policy_epoch").data else { panic!() };
    assert_eq!(epoch.data_points[0].value, Some(number_data_point::Value::AsDouble(1.0)));
    assert_eq!(named(&metrics, "countersign_tunnel_bytes").unit, "By");

    proxy.terminate();
    assert_eq!(proxy.0.wait().unwrap().code(), Some(0));
    let told = collector.told();
    assert!(coded(&told, "stopped").is_some(), "the last lines are sent before the process ends");
    assert!(told.requests.iter().all(|(_, headers)| headers["x-key"] == "planted-secret"));
    for (name, value) in [
        ("service.name", "countersign-proxy"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("deployment.environment.name", "test"),
    ] {
        assert_eq!(attribute(&told.resource, name), Some(&text(value)));
    }
    let Some(Value::StringValue(replica)) = attribute(&told.resource, "service.instance.id") else {
        panic!()
    };
    assert!(!replica.is_empty());
    let log = log.await.unwrap();
    assert!(log.contains("\"telemetry\"") && !log.contains("planted-secret"), "{log}");
    assert!(
        !format!("{told:?}").replace("planted-secret\"", "").contains("planted-secret\""),
        "in a log record"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetrys_variables_hold_where_the_file_says_nothing() {
    let (collector, address) = Collector::start().await;
    let place = Place::new("telemetry-environment");
    place.write(&place.good());
    let endpoint = format!("http://{address}/v");
    let mut proxy = Proxy::start_with(
        &place,
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b"),
            ("OTEL_SERVICE_NAME", "gate"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=a"),
        ],
    );
    let told = collector.until(|told| coded(told, "ready").is_some().then(|| told.clone())).await;
    assert_eq!(told.requests[0].0, "/v/v1/logs");
    assert_eq!(told.requests[0].1["x-key"], "a b");
    assert_eq!(attribute(&told.resource, "service.name"), Some(&text("gate")));
    assert_eq!(attribute(&told.resource, "team"), Some(&text("a")));
    proxy.signal("TERM");
    tokio::task::spawn_blocking(move || proxy.wait_for("stopped")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_collector_keeps_the_proxy_from_its_work() {
    let (collector, address) = Collector::start().await;
    collector.answer(Answer::Hang);
    let hanging = format!("http://{address}");
    for (name, endpoint, code) in [
        ("hangs", hanging.as_str(), "telemetry"),
        // Port 9 refuses, on every machine that has no discard service.
        ("refuses", "http://127.0.0.1:9", "telemetry"),
        ("is-none", "collector:4317", "telemetry-off"),
    ] {
        let place = Place::new(&format!("telemetry-{name}"));
        place.write(&place.good());
        let mut proxy = Proxy::start_with(&place, [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
        let ended = tokio::task::spawn_blocking(move || {
            assert_eq!(proxy.wait_for(code)["code"], code);
            proxy.wait_for("ready");
            proxy.signal("TERM");
            proxy.wait_for("stopped");
            proxy.child.wait().unwrap()
        });
        assert_eq!(ended.await.unwrap().code(), Some(0), "{name}");
    }
}

struct Running(std::process::Child);

impl Running {
    fn terminate(&self) {
        let pid = self.0.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn coded<'t>(told: &'t Told, code: &str) -> Option<&'t LogRecord> {
    told.logs.iter().find(|log| attribute(&log.attributes, "code") == Some(&text(code)))
}

fn named<'m>(metrics: &'m [Metric], name: &str) -> &'m Metric {
    metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name} in {metrics:#?}"))
}

fn text(of: &str) -> Value {
    Value::StringValue(of.to_owned())
}
