//! The program, from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::{Command, Output};

use countersign_simulator::{Fault, Module, SimulatedRoot};
use support::Scratch;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign-simulator")).args(arguments).output().unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn root_is_made_once() {
    let scratch = Scratch::new("cli-root");
    let directory = scratch.0.to_str().unwrap();
    let first = stdout(&["root", "--dir", directory]);
    assert_eq!(first, stdout(&["root", "--dir", directory]));
    assert!(first.contains(&SimulatedRoot::load(directory).unwrap().fingerprint()), "{first}");
}

#[test]
fn measure_prints_the_measurements_of_the_image() {
    let text = stdout(&["measure", "--image", "app", "--pcr", &format!("4={}", "ab".repeat(48))]);
    let module = Module::from_image("app").with_pcr(4, [0xab; 48]).unwrap();
    assert_eq!(text, format!("{}\n", module.pcr_json()));
}

#[test]
fn document_goes_to_standard_output_as_hex_or_to_a_file() {
    let scratch = Scratch::new("cli-document");
    let directory = scratch.0.to_str().unwrap();
    let common = ["document", "--dir", directory, "--image", "app", "--nonce", "00ff"];
    let text = stdout(&common);
    let shown = support::payload(&hex::decode(text.trim_end()).unwrap());
    assert_eq!(shown.nonce, Some(vec![0x00, 0xff]));
    assert_eq!(shown.module_id, Module::from_image("app").module_id);

    let file = scratch.0.join("document.cbor");
    assert_eq!(stdout(&[&common[..], &["--debug", "--output", file.to_str().unwrap()]].concat()), "");
    let written = support::payload(&std::fs::read(file).unwrap());
    assert_eq!(written.cabundle[0], shown.cabundle[0]);
    assert_eq!(written.pcrs[&0], [0; 48]);
    assert_ne!(written.pcrs[&4], [0; 48]);
}

#[test]
fn every_fault_is_listed_and_can_be_named() {
    let scratch = Scratch::new("cli-faults");
    let list = stdout(&["document", "--list-faults"]);
    assert_eq!(list.lines().count(), Fault::ALL.len());
    let name = list.lines().next().unwrap().split_whitespace().next().unwrap();
    let text = stdout(&["document", "--dir", scratch.0.to_str().unwrap(), "--image", "app", "--fault", name]);
    assert!(text.trim_end().ends_with("00"), "the first fault is a trailing byte");
}

#[test]
fn wrong_usage_says_what_is_wrong() {
    let past_the_last = format!("32={}", "00".repeat(48));
    let cases: [(&[&str], &str); 5] = [
        (&["document", "--image", "app"], "--dir"),
        (&["document", "--dir", "d"], "--image"),
        (&["document", "--dir", "d", "--image", "app", "--fault", "none"], "there is no fault \"none\""),
        (&["measure", "--image", "app", "--pcr", "4=00"], "96 hex digits"),
        (&["measure", "--image", "app", "--pcr", &past_the_last], "there is no PCR32"),
    ];
    for (arguments, expected) in cases {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}
