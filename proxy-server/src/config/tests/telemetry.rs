//! The collector of telemetry.

use super::*;

#[cfg(not(feature = "otlp"))]
#[test]
fn a_build_without_otlp_says_which_one_has_it() {
    let place = Place::new("config-no-otlp");
    let text = format!("{}[telemetry]\nendpoint = \"http://collector:4318\"\n", place.good());
    let message = "this build does not know OpenTelemetry; one with the cargo feature \"otlp\" does";
    assert_eq!(place.mistakes(&text), [format!("8:1: telemetry: {message}")]);
}

#[cfg(feature = "otlp")]
#[test]
fn a_collector_is_named_by_the_file_before_the_environment() {
    use countersign_telemetry::otlp::{Endpoint, Headers, Resource};

    let place = Place::new("config-otlp");
    fs::write(place.0.join("headers"), "authorization: Bearer planted\n").unwrap();
    let config = place
        .parse(&format!(
            "{}[telemetry]\nendpoint = \"https://file.example\"\nheaders_file = \"headers\"\nca = \"server.pem\"\n\
             interval_seconds = 5\ntrace_ratio = 0.25\nservice_name = \"gate\"\n[telemetry.attributes]\n\
             \"team\" = \"file\"\n",
            place.good()
        ))
        .unwrap();
    let environment = |name: &str| {
        let value = match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => "http://environment.example",
            "OTEL_EXPORTER_OTLP_HEADERS" => "x-key=environment",
            "OTEL_SERVICE_NAME" => "environment",
            "OTEL_RESOURCE_ATTRIBUTES" => "team=environment,zone=b",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let settings = config.telemetry.settings(environment).unwrap().unwrap();
    assert_eq!(settings.endpoint, Endpoint::parse("https://file.example").unwrap());
    assert_eq!(settings.headers, Headers::of_lines("authorization: Bearer planted").unwrap());
    assert_eq!((settings.interval.as_secs(), settings.ratio.to_string().as_str()), (5, "0.25"));
    let resource = Resource::new("gate", env!("CARGO_PKG_VERSION"))
        .with("team", "file".to_owned())
        .with("zone", "b".to_owned());
    assert_eq!(settings.resource, resource);
    assert!(!format!("{config:?} {settings:?}").contains("planted"));

    let config = place.parse(&place.good()).unwrap();
    assert!(config.telemetry.settings(|_| None).unwrap().is_none());
    let settings = config.telemetry.settings(environment).unwrap().unwrap();
    assert_eq!(settings.endpoint, Endpoint::parse("http://environment.example").unwrap());
    assert_eq!(settings.headers, Headers::of_pairs("x-key=environment").unwrap());
}

#[cfg(feature = "otlp")]
#[test]
fn mistakes_about_a_collector_are_named_and_tell_no_secret() {
    let place = Place::new("config-otlp-mistakes");
    fs::write(place.0.join("headers"), "planted-secret\n").unwrap();
    let text = format!(
        "{}[telemetry]\nendpoint = \"http://user:planted-secret@host\"\nheaders_file = \"headers\"\nca = \"server.key\"\n\
         interval_seconds = 0\ntrace_ratio = 1.5\nendpont = \"x\"\n",
        place.good()
    );
    assert_eq!(
        place.mistakes(&text),
        [
            "9:12: telemetry.endpoint: no address of a collector: a name and password belong into a header",
            "10:16: telemetry.headers_file: header 1: no `name: value`",
            "11:6: telemetry.ca: expected a PEM file with the collector's root; found no certificate in it",
            "12:20: telemetry.interval_seconds: expected 1 to 3600; found 0",
            "13:15: telemetry.trace_ratio: expected a number from 0 to 1; found 1.5",
            "14:1: telemetry.endpont: unknown field; did you mean \"endpoint\"?",
        ]
    );
}
