//! A simulated document has the shape of one that AWS signed: item by item, the same types in the same order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use countersign_simulator::{AttestationRequest, Module, SimulatedRoot, SoftwareNsm};
use minicbor::Decoder;
use minicbor::data::Type;

/// Facts, 2 and 3: indefinite payload map since August 2025, nine keys in order, unused optionals null.
#[test]
fn the_shape_is_that_of_a_genuine_document() {
    let Some(folder) = support::genuine_documents() else {
        eprintln!("SKIPPED: no genuine documents beside the checkout; set COUNTERSIGN_SHARED to the folder");
        return;
    };
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_string_lossy().starts_with("2026") {
            continue;
        }
        let genuine = std::fs::read(&path).unwrap();
        assert_eq!(shape(&like(&genuine)), shape(&genuine), "{}", path.display());
        compared += 1;
    }
    assert!(compared > 0, "there are documents of 2026");
}

/// Facts, 7: 533 to 814 bytes each, and four in the bundle.
#[test]
fn the_certificates_are_as_long_as_those_of_aws() {
    let document = sign(&AttestationRequest::default());
    let payload = support::payload(&document);
    assert_eq!(payload.cabundle.len(), 4);
    let lengths: Vec<usize> = payload.cabundle.iter().chain([&payload.certificate]).map(Vec::len).collect();
    assert!(lengths.iter().all(|length| (533..=814).contains(length)), "{lengths:?}");
    assert!((4300..4800).contains(&document.len()), "{}", document.len());
}

/// The whole of it, so that nobody has to have a genuine document to see the shape.
#[test]
fn the_shape_written_out() {
    let expected = [
        "array of 4",
        "4 bytes",
        "map of 0",
        "long bytes",
        "96 bytes",
        "indefinite map",
        "\"module_id\"",
        "text of 39",
        "\"digest\"",
        "\"SHA384\"",
        "\"timestamp\"",
        "number of 8 bytes",
        "\"pcrs\"",
        "map of 16",
    ];
    let pcrs = (0..16).flat_map(|index| [format!("{index}"), "48 bytes".to_owned()]);
    let rest = [
        "\"certificate\"",
        "long bytes",
        "\"cabundle\"",
        "array of 4",
        "long bytes",
        "long bytes",
        "long bytes",
        "long bytes",
        "\"public_key\"",
        "null",
        "\"user_data\"",
        "3 bytes",
        "\"nonce\"",
        "0 bytes",
        "break",
    ];
    let request =
        AttestationRequest { public_key: None, user_data: Some(b"abc".to_vec()), nonce: Some(Vec::new()) };
    let expected: Vec<String> =
        expected.map(str::to_owned).into_iter().chain(pcrs).chain(rest.map(str::to_owned)).collect();
    assert_eq!(shape(&sign(&request)), expected);
}

/// A simulated document that was asked for what the genuine one was asked for.
fn like(genuine: &[u8]) -> Vec<u8> {
    let payload = support::payload(genuine);
    sign(&AttestationRequest {
        public_key: payload.public_key,
        user_data: payload.user_data,
        nonce: payload.nonce,
    })
}

fn sign(request: &AttestationRequest) -> Vec<u8> {
    let root = SimulatedRoot::generate(support::NOW_MS).unwrap();
    SoftwareNsm::new(&root, Module::from_image("shape")).attest(support::NOW_MS, request).unwrap()
}

/// Every item of the envelope, then every item of the payload.
fn shape(document: &[u8]) -> Vec<String> {
    let mut out = items(document);
    out.extend(items(&support::payload_bytes(document)));
    out
}

/// Every item: its type, its length where that is fixed, the text of each key, whether a map has an end mark.
fn items(bytes: &[u8]) -> Vec<String> {
    let mut decoder = Decoder::new(bytes);
    let mut out = Vec::new();
    while decoder.position() < bytes.len() {
        out.push(match decoder.datatype().unwrap() {
            Type::Array | Type::ArrayIndef => counted("array", decoder.array().unwrap()),
            Type::Map | Type::MapIndef => counted("map", decoder.map().unwrap()),
            // Indices of PCRs.
            Type::U8 => decoder.u8().unwrap().to_string(),
            Type::U64 => decoder.u64().map(|_| "number of 8 bytes".to_owned()).unwrap(),
            Type::String => match decoder.str().unwrap() {
                id if id.starts_with("i-") => format!("text of {}", id.len()),
                text => format!("{text:?}"),
            },
            Type::Bytes => match decoder.bytes().unwrap().len() {
                // Certificates, and the payload that holds them.
                length if length > 512 => "long bytes".to_owned(),
                length => format!("{length} bytes"),
            },
            Type::Null => decoder.null().map(|()| "null".to_owned()).unwrap(),
            Type::Break => {
                decoder.set_position(decoder.position() + 1);
                "break".to_owned()
            }
            other => panic!("{other} has no place in a document"),
        });
    }
    out
}

fn counted(kind: &str, count: Option<u64>) -> String {
    count.map_or_else(|| format!("indefinite {kind}"), |count| format!("{kind} of {count}"))
}
