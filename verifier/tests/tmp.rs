#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::panic)]
mod common;
use common::*;
use countersign_verifier::*;
#[test]
fn t() {
    let anchor = TrustAnchor::danger_from_der(&synthetic("testroot.der")).unwrap();
    for [file, ms, want, note] in rows::<4>(&String::from_utf8(synthetic("list.tsv")).unwrap()) {
        let v = cold(anchor.clone());
        let at = UnixMillis::from_millis(ms.parse().unwrap());
        let r = check(&v, &synthetic(&file), at);
        println!("{file}\t{want}\t{}\t{note}\t[{}] {:?}", verdict(&r), v.cache_stats().signature_verifications, r.map_err(|e| e.to_string()));
    }
    let dir = shared_documents().unwrap();
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("index.json")).unwrap()).unwrap();
    for e in index.as_array().unwrap() {
        let b = std::fs::read(dir.join(e["file"].as_str().unwrap())).unwrap();
        let v = cold(TrustAnchor::aws());
        let r = check(&v, &b, UnixMillis::from_millis(e["timestamp_ms"].as_u64().unwrap_or(0)));
        if r.is_err() || e["kind"]!="real" {
        println!("{}\t{}\t{:?}", e["file"], verdict(&r), r.map_err(|e| e.to_string())); }
    }
}
