//! What the tests share: reading a document back without the verifier's help.
#![allow(dead_code)] // no test uses all of it

use std::collections::BTreeMap;
use std::path::PathBuf;

use minicbor::data::Type;
use minicbor::{Decoder, decode};

/// A moment in 2026, in milliseconds.
pub(crate) const NOW_MS: u64 = 1_795_297_611_000;

/// The parts of a payload that tests look at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) module_id: String,
    pub(crate) timestamp: u64,
    pub(crate) pcrs: BTreeMap<u8, Vec<u8>>,
    pub(crate) certificate: Vec<u8>,
    pub(crate) cabundle: Vec<Vec<u8>>,
    pub(crate) public_key: Option<Vec<u8>>,
    pub(crate) user_data: Option<Vec<u8>>,
    pub(crate) nonce: Option<Vec<u8>>,
}

/// Reads a document that is in order; panics on any other.
pub(crate) fn payload(document: &[u8]) -> Payload {
    read(&payload_bytes(document)).unwrap()
}

/// The byte string that is signed.
pub(crate) fn payload_bytes(document: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(document);
    assert_eq!(decoder.array().unwrap(), Some(4));
    decoder.skip().unwrap();
    decoder.skip().unwrap();
    decoder.bytes().unwrap().to_vec()
}

fn read(bytes: &[u8]) -> Result<Payload, decode::Error> {
    let mut decoder = Decoder::new(bytes);
    let mut payload = Payload::default();
    assert_eq!(decoder.map()?, None, "an indefinite map");
    while decoder.datatype()? != Type::Break {
        match decoder.str()? {
            "module_id" => payload.module_id = decoder.str()?.to_owned(),
            "timestamp" => payload.timestamp = decoder.u64()?,
            "pcrs" => {
                let pairs = decoder.map_iter::<u8, &minicbor::bytes::ByteSlice>()?;
                payload.pcrs =
                    pairs.map(|pair| pair.map(|(i, v)| (i, v.to_vec()))).collect::<Result<_, _>>()?;
            }
            "certificate" => payload.certificate = decoder.bytes()?.to_vec(),
            "cabundle" => {
                let items = decoder.array_iter::<&minicbor::bytes::ByteSlice>()?;
                payload.cabundle = items.map(|item| item.map(|v| v.to_vec())).collect::<Result<_, _>>()?;
            }
            "public_key" => payload.public_key = optional(&mut decoder)?,
            "user_data" => payload.user_data = optional(&mut decoder)?,
            "nonce" => payload.nonce = optional(&mut decoder)?,
            _ => decoder.skip()?,
        }
    }
    Ok(payload)
}

fn optional(decoder: &mut Decoder<'_>) -> Result<Option<Vec<u8>>, decode::Error> {
    if decoder.datatype()? == Type::Null {
        decoder.null()?;
        return Ok(None);
    }
    Ok(Some(decoder.bytes()?.to_vec()))
}

/// The folder of genuine documents, which come from other projects and so lie beside the checkout.
pub(crate) fn genuine_documents() -> Option<PathBuf> {
    let shared = std::env::var_os("COUNTERSIGN_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = shared.join("attestation-documents/real");
    folder.is_dir().then_some(folder)
}

/// A directory that is removed when the test ends.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
