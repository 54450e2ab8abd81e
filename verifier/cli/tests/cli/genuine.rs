//! Documents of AWS, when they are beside the checkout.

use super::{json, run, text};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("COUNTERSIGN_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let folder = shared.join("attestation-documents");
    if folder.join("index.json").is_file() {
        return Some(folder);
    }
    eprintln!(
        "SKIPPED: no attestation-documents in {}; set COUNTERSIGN_SHARED to the folder that has them",
        shared.display()
    );
    None
}

#[test]
fn every_genuine_document_gets_its_exit_code() {
    let Some(folder) = folder() else { return };
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let mut accepted = 0;
    for entry in index.as_array().unwrap() {
        let file = folder.join(entry["file"].as_str().unwrap());
        let file = file.to_str().unwrap();
        let at = entry["timestamp_ms"].as_u64().unwrap_or(0).to_string();
        let (real, debug) = (entry["kind"] == "real", entry["debug"] == true);
        let plain = run(&["verify", file, "--at", &at], b"").status.code();
        let allowed = run(&["verify", file, "--at", &at, "--allow-debug"], b"").status.code();
        assert_eq!(plain, Some(i32::from(!real || debug)), "{file}");
        assert_eq!(allowed, Some(i32::from(!real)), "{file}");
        accepted += usize::from(real);
    }
    assert!(accepted > 0);
}

#[test]
fn a_kept_document_is_too_old_now_and_the_hint_is_copied_to_succeed() {
    let Some(folder) = folder() else { return };
    let mut files: Vec<_> =
        std::fs::read_dir(folder.join("real")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let file = files[0].to_str().unwrap();
    let output = run(&["verify", file, "--allow-debug"], b"");
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    let (_, at) = shown.split_once("add --at ").unwrap_or_else(|| panic!("{shown}"));
    let output = run(&["verify", file, "--allow-debug", "--at", at.trim(), "--output", "json"], b"");
    assert_eq!((output.status.code(), json(&output)["verdict"].as_str()), (Some(0), Some("accepted")));
}
