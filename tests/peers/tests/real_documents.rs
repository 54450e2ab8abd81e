//! Every peer against genuine documents, through the program and its protocol: what is measured must
//! really be a verification. The documents lie beside the checkout (or where COUNTERSIGN_SHARED points)
//! and are not part of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output, Stdio};

use serde_json::{Value, json};

/// Genuine documents, not from debug mode, that every peer accepts at the given time (milliseconds, their
/// own): two of the older form, whose payload map has a definite length, and two of the indefinite form
/// AWS has been sending since August 2025.
const DOCUMENTS: [(&str, u64); 4] = [
    ("20220727-us-east-2-nitriding-57b70c.cbor", 1_658_887_362_906),
    ("20241130-us-east-1-nitro-validator-69d51f.cbor", 1_732_983_768_387),
    ("20260421-us-east-1-rust-sdk-f1f057.cbor", 1_776_810_820_109),
    ("20260521-us-east-1-attested-tls-7b7c10.cbor", 1_779_365_257_360),
];

/// One more than the three hours a signing certificate is valid.
const FOUR_HOURS_MS: u64 = 4 * 60 * 60 * 1000;

#[test]
fn genuine_documents_are_accepted_and_timed() {
    for (peer, path, at_ms) in cases() {
        let Some(output) = verify(peer, &path, at_ms, "run 2\nquit\n") else { continue };
        let lines = json_lines(&output);
        assert_eq!(lines[0]["peer"], json!(peer));
        assert_eq!(lines[0]["ok"], json!(true), "{peer} {}: {}", path.display(), lines[0]["error"]);
        assert_eq!(lines[1]["runs"], json!(2));
        // The monotonic clock must run even where the system clock is held: no verifier takes under 50 µs.
        assert!(lines[1]["nanos"].as_u64().unwrap() > 100_000, "{peer}: {}", lines[1]);
        assert_eq!((lines.len(), output.status.code()), (2, Some(0)));
    }
}

#[test]
fn a_changed_signature_is_refused() {
    for (peer, path, at_ms) in cases() {
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        let changed = env::temp_dir().join(format!("peer-verify-{}-changed.cbor", process::id()));
        fs::write(&changed, bytes).unwrap();
        assert_refused(peer, &changed, at_ms);
        fs::remove_file(&changed).unwrap();
    }
}

/// TTKServer is the exception, and its README entry says so: it validates the chain at the time the
/// document itself names, so a document never becomes too old for it.
#[test]
fn an_expired_signing_certificate_is_refused_by_all_but_ttkserver() {
    for (peer, path, at_ms) in cases() {
        let later = at_ms + FOUR_HOURS_MS;
        if peer == "ttkserver" {
            let output = verify(peer, &path, later, "quit\n").unwrap();
            assert_eq!(json_lines(&output)[0]["ok"], json!(true));
        } else {
            assert_refused(peer, &path, later);
        }
    }
}

#[test]
fn wrong_arguments_end_with_status_2() {
    for arguments in
        [&["nitro_attest"][..], &["nobody", "/dev/null", "0"], &["nitro_attest", "/dev/null", "-1"]]
    {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
}

fn assert_refused(peer: &str, path: &Path, at_ms: u64) {
    let Some(output) = verify(peer, path, at_ms, "run 1\n") else { return };
    let lines = json_lines(&output);
    assert_eq!(lines[0]["ok"], json!(false), "{peer} accepts {}", path.display());
    assert!(lines[0]["error"].is_string());
    assert_eq!((lines.len(), output.status.code()), (1, Some(1)));
}

/// Runs the program to its end. `None` when the peer needs libfaketime and it is not installed.
fn verify(peer: &str, path: &Path, at_ms: u64, input: &str) -> Option<Output> {
    let mut child = Command::new(PROGRAM)
        .arg(peer)
        .arg(path)
        .arg(at_ms.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refused the document no longer reads: a broken pipe is no failure.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let error = json_lines(&output).first().map(|line| line["error"].to_string()).unwrap_or_default();
    if error.contains("without libfaketime") {
        eprintln!("skipped {peer}: libfaketime is not installed");
        return None;
    }
    Some(output)
}

fn json_lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every peer with every document, or nothing when the documents are not at hand.
fn cases() -> Vec<(&'static str, PathBuf, u64)> {
    let shared = env::var_os("COUNTERSIGN_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let folder = shared.join("attestation-documents/real");
    if !folder.is_dir() {
        eprintln!("skipped: no genuine documents in {} (set COUNTERSIGN_SHARED)", folder.display());
        return Vec::new();
    }
    PEERS
        .into_iter()
        .filter(|peer| cfg!(feature = "qos") || *peer != "qos_nsm")
        .flat_map(|peer| DOCUMENTS.map(|(file, at_ms)| (peer, folder.join(file), at_ms)))
        .collect()
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_peer-verify");
const PEERS: [&str; 5] =
    ["attestation-doc-validation", "nitro_attest", "nsm-nitro-enclave-utils", "qos_nsm", "ttkserver"];
