//! Enclave images: printed as nitro-cli prints them.

use super::{json, run, text};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn image(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/eif").join(name)
}

#[test]
fn an_image_is_described_as_nitro_cli_does() {
    for name in ["plain", "signed"] {
        let (file, description) = (image(&format!("{name}.eif")), image(&format!("{name}.json")));
        let output = run(&["eif", file.to_str().unwrap(), "--output", "json"], b"");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let (ours, theirs) = (json(&output), std::fs::read(description).unwrap());
        let theirs: Value = serde_json::from_slice(&theirs).unwrap();
        for key in ["EifVersion", "IsSigned", "CheckCRC"] {
            assert_eq!(ours[key], theirs[key], "{name} {key}");
        }
        for key in ["PCR0", "PCR1", "PCR2", "PCR8"] {
            assert_eq!(ours["Measurements"][key], theirs["Measurements"][key], "{name} {key}");
        }
        assert_eq!(ours["Measurements"]["HashAlgorithm"], "Sha384 { ... }");
    }
}

#[test]
fn an_image_from_standard_input_is_shown_to_people() {
    let output = run(&["eif", "-"], &std::fs::read(image("signed.eif")).unwrap());
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    assert!(shown.starts_with("image       EIF 4, x86_64, signed\nPCR0        "), "{shown}");
    assert_eq!(shown.lines().last().unwrap().split_whitespace().next(), Some("PCR8"), "{shown}");
}

#[test]
fn its_output_is_a_measurement_for_verify() {
    let output = run(&["eif", image("signed.eif").to_str().unwrap(), "--output", "json"], b"");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("measured.json");
    std::fs::write(&path, &output.stdout).unwrap();
    // Read before the document is: what is wrong is the document.
    let output = run(&["verify", "-", "--expect", path.to_str().unwrap()], b"no document");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

#[test]
fn what_is_no_image_is_refused_with_1() {
    let mut damaged = std::fs::read(image("plain.eif")).unwrap();
    damaged[600] ^= 1;
    for (input, code) in [(&b""[..], "truncated"), (&[0; 600], "not-an-image"), (&damaged, "checksum")] {
        let output = run(&["eif", "-", "--output", "json"], input);
        assert_eq!(output.status.code(), Some(1), "{code}");
        let value = json(&output);
        assert_eq!((value["verdict"].as_str(), value["code"].as_str()), (Some("refused"), Some(code)));
        let shown = text(&run(&["eif", "-"], input).stdout);
        assert!(shown.starts_with(&format!("refused\n  code      {code}\n  found     ")), "{shown}");
    }
}
