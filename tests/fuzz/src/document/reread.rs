//! A second reader of documents, written with minicbor and sharing nothing with the first.

use countersign_verifier::{PcrIndex, UnverifiedDocument};
use minicbor::data::{Tag, Type};
use minicbor::decode::Error;
use minicbor::{Decoder, decode};
use std::collections::{BTreeMap, BTreeSet};

/// What was read says the same as what another reader finds in the bytes.
pub(super) fn agrees(document: &UnverifiedDocument<'_>, bytes: &[u8]) {
    let payload = payload(bytes).expect("an accepted document has a payload");
    let mut reader = Decoder::new(payload);
    let fields = read(&mut reader).expect("minicbor reads what was accepted");
    assert_eq!(reader.position(), payload.len(), "bytes after the payload's map");

    let Fields { keys, module_id, digest, timestamp, pcrs, certificate, cabundle, optional } = fields;
    assert_eq!(keys.len(), keys.iter().collect::<BTreeSet<_>>().len(), "a key twice: {keys:?}");
    assert_eq!(Some(document.module_id()), module_id);
    assert_eq!(digest, Some("SHA384"));
    assert_eq!(Some(document.timestamp().as_millis()), timestamp);
    assert_eq!(
        document
            .pcrs()
            .iter()
            .map(|(index, pcr)| (index.get().into(), &pcr.as_bytes()[..]))
            .collect::<BTreeMap<_, _>>(),
        pcrs
    );
    for index in [PcrIndex::PCR0, PcrIndex::PCR1, PcrIndex::PCR2] {
        assert!(document.pcrs().get(index).is_some(), "{index}");
    }
    assert_eq!(Some(document.certificate()), certificate);
    assert_eq!(document.cabundle(), cabundle);
    for (key, value) in [
        ("public_key", document.public_key()),
        ("user_data", document.user_data()),
        ("nonce", document.nonce()),
    ] {
        assert_eq!(value, optional.get(key).copied().flatten(), "{key}");
    }
}

/// The payload of a COSE_Sign1 in which it is a byte string.
pub(super) fn payload(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Decoder::new(bytes);
    if reader.datatype().ok()? == Type::Tag {
        assert_eq!(reader.tag().ok()?, Tag::new(18));
    }
    assert_eq!(reader.array().ok()?, Some(4));
    assert_eq!(reader.bytes().ok()?, [0xa1, 0x01, 0x38, 0x22]);
    assert_eq!(reader.map().ok()?, Some(0));
    let payload = reader.bytes().ok()?;
    assert_eq!(reader.bytes().ok()?.len(), 96);
    assert_eq!(reader.position(), bytes.len(), "bytes after the document");
    Some(payload)
}

#[derive(Default)]
struct Fields<'b> {
    keys: Vec<&'b str>,
    module_id: Option<&'b str>,
    digest: Option<&'b str>,
    timestamp: Option<u64>,
    pcrs: BTreeMap<u64, &'b [u8]>,
    certificate: Option<&'b [u8]>,
    cabundle: Vec<&'b [u8]>,
    optional: BTreeMap<&'b str, Option<&'b [u8]>>,
}

fn read<'b>(reader: &mut Decoder<'b>) -> Result<Fields<'b>, Error> {
    let mut fields = Fields::default();
    let mut left = reader.map()?;
    while another(reader, &mut left)? {
        let key = reader.str()?;
        fields.keys.push(key);
        match key {
            "module_id" => fields.module_id = Some(reader.str()?),
            "digest" => fields.digest = Some(reader.str()?),
            "timestamp" => fields.timestamp = Some(reader.u64()?),
            "pcrs" => {
                let mut left = reader.map()?;
                while another(reader, &mut left)? {
                    let index = reader.u64()?;
                    assert_eq!(fields.pcrs.insert(index, reader.bytes()?), None, "PCR{index} twice");
                }
            }
            "certificate" => fields.certificate = Some(reader.bytes()?),
            "cabundle" => {
                let mut left = reader.array()?;
                while another(reader, &mut left)? {
                    fields.cabundle.push(reader.bytes()?);
                }
            }
            _ if reader.datatype()? == Type::Null => {
                reader.null()?;
                fields.optional.insert(key, None);
            }
            _ => {
                fields.optional.insert(key, Some(reader.bytes()?));
            }
        }
    }
    Ok(fields)
}

/// Whether an array or map goes on; takes the break that ends one of untold length.
fn another(reader: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool, decode::Error> {
    match left {
        Some(0) => Ok(false),
        Some(count) => {
            *count -= 1;
            Ok(true)
        }
        None if reader.datatype()? == Type::Break => {
            reader.set_position(reader.position() + 1);
            Ok(false)
        }
        None => Ok(true),
    }
}
