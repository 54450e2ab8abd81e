//! The software module behind the same seam as `/dev/nsm`. Only in builds that have it.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{fs, process::Command};

use countersign_enclave::device::{Device, DocumentRequest, Software};
use countersign_simulator::SimulatedRoot;

#[tokio::test]
async fn a_document_comes_through_the_device_seam() {
    let directory = std::env::temp_dir().join(format!("countersign-root-{}", std::process::id()));
    SimulatedRoot::generate(1_700_000_000_000).unwrap().save(&directory).unwrap();
    let device = Device::new(Software::danger_load(&directory, "app").unwrap());
    let request =
        DocumentRequest { public_key: vec![0xa1; 91], user_data: vec![0xa2; 48], nonce: vec![0xa3; 32] };
    let document = device.document(request.clone()).await.unwrap();
    for field in [request.public_key, request.user_data, request.nonce] {
        assert!(document.windows(field.len()).any(|window| window == field));
    }
    fs::remove_dir_all(&directory).unwrap();
    assert!(Software::danger_load(&directory, "app").is_err());
}

#[test]
fn the_danger_flags_go_together_and_are_loud() {
    let program = || Command::new(env!("CARGO_BIN_EXE_countersign-enclave"));
    let alone =
        program().args(["run", "--manifest", "m", "--danger-image", "x", "--", "true"]).output().unwrap();
    assert_eq!(alone.status.code(), Some(2));
    let directory = std::env::temp_dir().join(format!("countersign-loud-{}", std::process::id()));
    SimulatedRoot::generate(1_700_000_000_000).unwrap().save(&directory).unwrap();
    let manifest = directory.join("m.yaml");
    fs::write(&manifest, "version: v1\negress: { proxy_port: 0 }\n").unwrap();
    let mut run = program();
    run.arg("run").arg("--manifest").arg(&manifest).arg("--danger-software-nsm").arg(&directory);
    let output = run.args(["--danger-image", "x", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("DEVELOPMENT ONLY"), "{log}");
    fs::remove_dir_all(&directory).unwrap();
}
