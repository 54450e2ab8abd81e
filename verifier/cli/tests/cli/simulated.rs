//! Documents made for this project, under their own root: only in a build with the simulator.

use super::{MADE, bytes_of, json, run, synthetic, text};
use serde_json::Value;
use std::process::Output;

fn verify(file: &str, more: &[&str]) -> Output {
    let root = synthetic("testroot.der");
    let arguments = ["verify", "-", "--at", MADE, "--danger-root", root.to_str().unwrap()];
    run(&[&arguments[..], more].concat(), &bytes_of(file))
}

/// A measurement file of the baseline's own PCRs, with one of them changed.
fn measurement_file(name: &str, change: impl Fn(&mut Value)) -> String {
    let inspected = json(&run(&["inspect", "-", "--output", "json"], &bytes_of("S00_baseline.cbor")));
    let mut pcrs = inspected["pcrs"].clone();
    change(&mut pcrs);
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, serde_json::json!({ "Measurements": pcrs }).to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_danger_is_said_aloud() {
    let output = verify("S00_baseline.cbor", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stderr).starts_with("danger: verifying under"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("root      danger-simulated"));
    let both = verify("S00_baseline.cbor", &["--root", "aws"]);
    assert_eq!(both.status.code(), Some(2), "one root or the other");
}

#[test]
fn every_synthetic_document_gets_its_exit_code() {
    let list = String::from_utf8(bytes_of("list.tsv")).unwrap();
    for line in list.lines().skip(1) {
        let [file, _, wanted, ..] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let code = verify(file, &[]).status.code();
        match wanted {
            "accept" => assert_eq!(code, Some(0), "{file}"),
            "reject" => assert_eq!(code, Some(1), "{file}"),
            _ => assert!(matches!(code, Some(0 | 1)), "{file}"),
        }
    }
}

#[test]
fn a_nonce_is_compared() {
    let inspected = json(&run(&["inspect", "-", "--output", "json"], &bytes_of("S00_baseline.cbor")));
    let nonce = inspected["nonce"].as_str().unwrap().to_owned();
    let output = verify("S00_baseline.cbor", &["--nonce", &nonce, "--output", "json"]);
    assert_eq!((output.status.code(), json(&output)["nonce_compared"].as_bool()), (Some(0), Some(true)));
    let output = verify("S00_baseline.cbor", &["--nonce", "00ff", "--output", "json"]);
    let value = json(&output);
    assert_eq!((output.status.code(), value["code"].as_str()), (Some(1), Some("nonce-mismatch")));
    assert_eq!(value["expected"], "the nonce 00ff");
}

/// This document has neither field; a missing one is never the expected one.
#[test]
fn key_and_user_data_are_compared() {
    for (option, refusal) in [("--public-key", "public-key-missing"), ("--user-data", "user-data-missing")] {
        let output = verify("S00_baseline.cbor", &[option, "00ff", "--output", "json"]);
        assert_eq!((output.status.code(), json(&output)["code"].as_str()), (Some(1), Some(refusal)));
    }
}

#[test]
fn one_of_several_measurements_must_fit() {
    let (same, other) = (
        measurement_file("same.json", |_| {}),
        measurement_file("other.json", |pcrs| pcrs["PCR1"] = "ff".repeat(48).into()),
    );
    let output = verify("S00_baseline.cbor", &["--expect", &other, "--expect", &same, "--output", "json"]);
    assert_eq!((output.status.code(), json(&output)["measurement"].as_str()), (Some(0), Some(&*same)));

    let output = verify("S00_baseline.cbor", &["--expect", &other, "--output", "json"]);
    let value = json(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((value["stage"].as_str(), value["code"].as_str()), (Some("appraisal"), Some("pcr-mismatch")));
    assert_eq!(value["closest"]["name"], other);
    assert_eq!(value["closest"]["differences"][0]["pcr"], 1);
    assert_eq!(value["closest"]["differences"][0]["expected"], "ff".repeat(48));
    let shown = text(&verify("S00_baseline.cbor", &["--expect", &other]).stdout);
    assert!(shown.contains("PCR1 ffffff"), "{shown}");
}

#[test]
fn debug_mode_is_refused_unless_it_is_allowed() {
    let output = verify("P55_debug_pcrs.cbor", &["--output", "json"]);
    let value = json(&output);
    assert_eq!((output.status.code(), value["code"].as_str()), (Some(1), Some("debug-mode")));
    assert_eq!(value["hint"], "to accept an enclave whose host can read it, add --allow-debug");
    let output = verify("P55_debug_pcrs.cbor", &["--allow-debug"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("debug mode: the host can read this enclave"));
}
