//! The program as its users meet it: arguments, output and exit codes.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_countersign-verify"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses early closes its end; that is no failure of the test.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
}

fn synthetic(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/synthetic").join(file)
}

fn bytes_of(file: &str) -> Vec<u8> {
    std::fs::read(synthetic(file)).unwrap()
}

/// When the synthetic documents were made.
const MADE: &str = "1795297611000";

#[test]
fn help_has_examples_and_exit_codes() {
    let output = run(&["--help"], b"");
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    assert!(help.contains("countersign-verify verify document.b64 --expect measurement.json"), "{help}");
    assert!(help.contains("0 accepted, 1 refused, 2 wrong usage or unreadable file"), "{help}");
}

#[test]
fn wrong_usage_and_unreadable_files_end_with_2_and_say_what_to_do() {
    for (arguments, said) in [
        (&[][..], "Usage"),
        (&["verify"], "<FILE>"),
        (&["verify", "no-such-file"], "cannot read no-such-file"),
        (&["inspect", "no-such-file"], "give a file, or - for standard input"),
        (&["inspect", env!("CARGO_MANIFEST_DIR")], "cannot read"),
        (&["eif", "no-such-file"], "cannot read no-such-file"),
        (&["eif", env!("CARGO_MANIFEST_DIR")], "cannot read"),
        (&["verify", "-", "--at", "yesterday"], "give RFC 3339 such as"),
        (&["verify", "-", "--nonce", "xyz"], "give the bytes in hexadecimal"),
        (&["verify", "-", "--root", "mine"], "aws-us-gov"),
        (&["verify", "-", "--expect", "no-such-file"], "cannot read no-such-file"),
        (
            &["verify", "-", "--expect", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")],
            "nitro-cli build-enclave",
        ),
    ] {
        let output = run(arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert!(text(&output.stderr).contains(said), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn inspect_shows_the_same_document_in_all_three_forms() {
    let bytes = bytes_of("S00i_indef_payload.cbor");
    let hexadecimal = hex::encode(&bytes);
    let base64 = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, &bytes);
    for (form, kept) in
        [("binary", &bytes[..]), ("hex", hexadecimal.as_bytes()), ("base64", base64.as_bytes())]
    {
        let output = run(&["inspect", "-", "--output", "json"], kept);
        assert_eq!(output.status.code(), Some(0));
        let value = json(&output);
        assert_eq!((value["form"].as_str(), value["verified"].as_bool()), (Some(form), Some(false)));
        assert_eq!(value["timestamp"]["unix_ms"], 1_795_297_611_000_u64);
        assert_eq!(value["timestamp"]["rfc3339"], "2026-11-21T21:46:51.000Z");
        assert_eq!(value["certificates"].as_array().unwrap().len(), 5);
    }
    let output = run(&["inspect", synthetic("S00_baseline.cbor").to_str().unwrap()], b"");
    let shown = text(&output.stdout);
    assert!(shown.starts_with("document    binary, not verified\n"), "{shown}");
    assert!(!shown.contains('\x1b'), "no colours away from a terminal");
}

#[test]
fn what_is_no_document_is_refused_with_1() {
    for command in ["inspect", "verify"] {
        for (input, code) in [
            (&b""[..], "truncated"),
            (b"hello, world", "unexpected-type"),
            (&bytes_of("E38_deep_array.cbor"), "document-too-long"),
            (&bytes_of("P50_nitrotpm.cbor"), "nitrotpm-document"),
        ] {
            let output = run(&[command, "-", "--output", "json"], input);
            assert_eq!(output.status.code(), Some(1), "{command} {code}");
            let value = json(&output);
            assert_eq!(
                (value["stage"].as_str(), value["code"].as_str()),
                (Some("syntax"), Some(code)),
                "{command}"
            );
        }
    }
    let output = run(&["verify", "-"], &bytes_of("E24_sig0.cbor"));
    let shown = text(&output.stdout);
    for line in [
        "refused\n",
        "  stage     syntax\n",
        "  code      length-out-of-range\n",
        "  expected  the signature of 96 bytes\n",
        "  found     0 bytes\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[test]
fn an_old_document_is_refused_with_its_own_time() {
    // A day and more after it was made.
    let output =
        run(&["verify", "-", "--at", "1795400000000", "--output", "json"], &bytes_of("S00_baseline.cbor"));
    assert_eq!(output.status.code(), Some(1));
    let value = json(&output);
    assert_eq!(value["code"], "document-too-old");
    assert_eq!(value["hint"], "the document's own time is 1795297611000");
}

#[test]
fn a_document_of_another_root_is_refused_under_awss() {
    let output = run(&["verify", "-", "--at", MADE, "--output", "json"], &bytes_of("S00_baseline.cbor"));
    assert_eq!(output.status.code(), Some(1));
    let value = json(&output);
    assert_eq!((value["stage"].as_str(), value["code"].as_str()), (Some("chain"), Some("untrusted-root")));
}

#[cfg(not(feature = "simulator"))]
#[test]
fn a_build_without_the_simulator_names_no_other_root() {
    let root = synthetic("testroot.der");
    let output =
        run(&["verify", "-", "--danger-root", root.to_str().unwrap()], &bytes_of("S00_baseline.cbor"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--danger-root"));
    assert!(!text(&run(&["verify", "--help"], b"").stdout).contains("danger-root"));
}

mod eif;
mod genuine;
#[cfg(feature = "simulator")]
mod simulated;
