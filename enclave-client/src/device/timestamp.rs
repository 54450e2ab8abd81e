//! The time that a document says it was made at. Nothing is verified here: the
//! document comes from this machine's own device, and only its clock is read.

use minicbor::{Decoder, data::Type};

/// Milliseconds since 1970 (AWS `attestation_process.md`, `timestamp`), or `None`
/// for bytes that are no document.
///
/// COSE_Sign1 (RFC 9052 section 4.2) is an array of four, whose third is the
/// payload: a map with `timestamp` in it.
pub(super) fn timestamp(document: &[u8]) -> Option<u64> {
    let mut envelope = Decoder::new(document);
    if envelope.array().ok()? != Some(4) {
        return None;
    }
    envelope.skip().ok()?;
    envelope.skip().ok()?;
    let mut payload = Decoder::new(envelope.bytes().ok()?);
    let pairs = payload.map().ok()?;
    for _ in 0..pairs.unwrap_or(MAX_PAIRS).min(MAX_PAIRS) {
        if payload.datatype().ok()? == Type::Break {
            return None;
        }
        if payload.str().ok()? == "timestamp" {
            return payload.u64().ok();
        }
        payload.skip().ok()?;
    }
    None
}

/// The documents of today have nine.
const MAX_PAIRS: u64 = 32;

#[cfg(test)]
mod tests {
    use minicbor::Encoder;

    use super::*;

    fn document(payload: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        encoder.array(4).unwrap().bytes(b"\xa1\x01\x38\x22").unwrap().map(0).unwrap();
        encoder.bytes(payload).unwrap().bytes(&[0; 96]).unwrap();
        encoder.into_writer()
    }

    fn payload(first: &str) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        encoder.map(2).unwrap().str(first).unwrap().array(1).unwrap().bytes(b"x").unwrap();
        encoder.str("timestamp").unwrap().u64(1_795_297_611_000).unwrap();
        encoder.into_writer()
    }

    #[test]
    fn the_timestamp_is_found_behind_other_fields() {
        assert_eq!(timestamp(&document(&payload("cabundle"))), Some(1_795_297_611_000));
        // AWS's documents of today are maps of no stated length.
        let mut open = payload("pcrs");
        open[0] = 0xbf;
        open.push(0xff);
        assert_eq!(timestamp(&document(&open)), Some(1_795_297_611_000));
    }

    #[test]
    fn what_is_no_document_has_no_time() {
        let whole = document(&payload("x"));
        for len in 0..whole.len() - 98 {
            assert_eq!(timestamp(&whole[..len]), None, "{len}");
        }
        for wrong in [&b""[..], &[9], &[0x84], &[0xff; 64], &document(b""), &document(&[0xbf, 0xff])] {
            assert_eq!(timestamp(wrong), None, "{wrong:02x?}");
        }
    }
}
