//! `telemetry`, and that it allows nothing by itself.

use super::*;

const HEAD: &str = "version: v1\ntelemetry:\n  endpoint: https://collector.example:4318\n";

#[test]
fn a_collector_that_the_rules_allow() {
    let manifest = parse(&format!("{HEAD}egress:\n  allow: [\"collector.example:4318\"]\n")).unwrap();
    let telemetry = manifest.telemetry.unwrap();
    assert_eq!((telemetry.endpoint.host(), telemetry.endpoint.port()), ("collector.example", 4318));
    assert_eq!(telemetry.anchors, None);
    assert!(parse("version: v1\n").unwrap().telemetry.is_none());
}

#[test]
fn naming_it_allows_nothing() {
    assert_eq!(
        mistakes(HEAD),
        [
            "3:13: telemetry.endpoint: telemetry may not leave for collector.example:4318: no rule allows it; add this \
          line to egress.allow: - \"collector.example:4318\""
        ]
    );
}

#[test]
fn what_is_no_collector() {
    for (telemetry, mistake) in [
        ("endpoint: collector.example:4318", "3:13: telemetry.endpoint: no address of a collector: "),
        ("endpoint: ftp://collector.example", "3:13: telemetry.endpoint: no address of a collector: "),
        ("anchor_file: none.pem", "3:3: telemetry.endpoint: is missing"),
        ("endpiont: http://a", "3:3: telemetry.endpiont: unknown field, did you mean endpoint?"),
    ] {
        let found = mistakes(&format!(
            "version: v1\ntelemetry:\n  {telemetry}\negress: {{ allow: [\"**:4318\"] }}\n"
        ));
        assert!(found.iter().any(|found| found.starts_with(mistake)), "{telemetry}: {found:?}");
    }
}
