//! Every document made for this project gets its expected answer, with its stage and code.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{check, cold, rows, synthetic, verdict};
use countersign_verifier::{TrustAnchor, UnixMillis};
use std::collections::BTreeMap;
use std::path::Path;

/// Our answer for each file, in `tests/synthetic/expected.tsv`.
fn expected() -> BTreeMap<String, String> {
    let table = rows::<2>(&String::from_utf8(synthetic("expected.tsv")).unwrap());
    let count = table.len();
    let map: BTreeMap<_, _> = table.into_iter().map(|[file, verdict]| (file, verdict)).collect();
    assert_eq!(map.len(), count, "a file stands twice");
    map
}

fn listed() -> Vec<[String; 4]> {
    rows(&String::from_utf8(synthetic("list.tsv")).unwrap())
}

#[test]
fn every_file_gets_its_verdict() {
    let anchor = TrustAnchor::danger_from_der(&synthetic("testroot.der")).unwrap();
    let verdicts: BTreeMap<_, _> = listed()
        .into_iter()
        .map(|[file, millis, _, _]| {
            let at = UnixMillis::from_millis(millis.parse().unwrap());
            let verdict = verdict(&check(&cold(anchor.clone()), &synthetic(&file), at));
            (file, verdict)
        })
        .collect();
    assert_eq!(verdicts, expected());
}

#[test]
fn our_answers_keep_to_the_list_and_every_document_is_listed() {
    let ours = expected();
    for [file, _, wanted, defect] in listed() {
        let accepted = ours[&file] == "accept";
        match wanted.as_str() {
            "accept" => assert!(accepted, "{file}: {defect}"),
            "reject" => assert!(!accepted, "{file}: {defect}"),
            "policy" => {}
            other => panic!("{file}: {other:?}"),
        }
    }
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/synthetic")).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|file| file.ends_with(".cbor"));
    files.sort();
    assert_eq!(files, ours.into_keys().collect::<Vec<_>>());
}

#[test]
fn every_policy_is_decided_and_its_reason_written_down() {
    let page =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/decisions/0002-policy-on-odd-documents.md");
    let page = std::fs::read_to_string(page).unwrap();
    // | file | what is odd | answer | reason |
    let decided: BTreeMap<String, String> = page
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            match cells[..] {
                ["", file, _, answer, reason, ""] if file.contains(".cbor") => {
                    assert!(reason.len() > 40, "{file}: no reason given");
                    Some((file.trim_matches('`').to_owned(), answer.trim_matches('`').to_owned()))
                }
                _ => None,
            }
        })
        .collect();
    let ours = expected();
    let policies: BTreeMap<String, String> = listed()
        .into_iter()
        .filter(|[_, _, wanted, _]| wanted == "policy")
        .map(|[file, _, _, _]| (file.clone(), ours[&file].clone()))
        .collect();
    assert!(!policies.is_empty());
    assert_eq!(decided, policies);
}
