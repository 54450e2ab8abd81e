//! The sample as bytes that never change: `tests/python/verify_audit.py` reads them by its own account of the format.

use super::*;

const GOLDEN: &[u8] = include_bytes!("golden.jsonl");

#[test]
fn the_sample_is_written_as_ever() {
    let written = Audit::sample().export();
    for (line, (written, golden)) in
        written.split(|b| *b == b'\n').zip(GOLDEN.split(|b| *b == b'\n')).enumerate()
    {
        assert_eq!(String::from_utf8_lossy(written), String::from_utf8_lossy(golden), "line {}", line + 1);
    }
    assert_eq!(written.len(), GOLDEN.len());
}

#[test]
fn the_sample_is_read_as_ever() {
    let report = verify_export(GOLDEN, &trusted(), &Audit::sample().known()).unwrap();
    assert_eq!(report.findings, []);
    let shown = "policy: rows 1 to 10, signed up to 8\n\
                 replica/a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1: rows 1 to 10, signed up to 8\n\
                 replica/b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2: rows 4 to 10, signed up to 8\n\
                 the audit holds: 27 rows, 6 checkpoints, 3 chains";
    assert_eq!(report.to_string(), shown);
}

/// As Python computes them: `verify_audit.py --vectors`.
#[test]
fn hashes_are_as_ever() {
    let (policy, replica) = (ChainName::Policy, ChainName::Replica([0xa1; 16]));
    let first = Head::genesis(&policy).after(&policy, &event(1));
    let second = first.after(&policy, &event(2));
    let hashes = [Head::genesis(&policy), Head::genesis(&replica), first, second];
    assert_eq!(hashes.map(|head| hex::encode(head.hash)), VECTORS);
    assert_eq!(hashes.map(|head| head.seq), [0, 0, 1, 2]);
}

const VECTORS: [&str; 4] = [
    "21920895535da0e3181d89e38064fb3c1b79a4f60f0d358fbc467e7ad5ec9a3f",
    "e2b5428ad535778afdecf7629559293a804779b4eaa7e4a1d2a301e0f5cf1e2d",
    "53ace4eebe27b1d53093b0c66925b0d7b5e4af550ea1960bf581042144ab5c8d",
    "fb21b8150255431314ecd87fffc035949c38e484f6c439870b1233b720ebe0f7",
];
