use std::path::Path;

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use countersign_verifier::MAX_DOCUMENT_BYTES;

use super::read;
use crate::cli::failure::Failure;

/// The bytes of an attestation document, in whichever form it was kept:
/// binary, base64 or hexadecimal.
///
/// # Errors
/// The file cannot be read, or is no document by its size.
pub(in crate::cli) fn document(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = decode(read(path, MOST_BYTES)?);
    match bytes.len() {
        0 => Err(Failure::wrong(path, "is empty: expected an attestation document")),
        length if length > MAX_DOCUMENT_BYTES => {
            let reason =
                format!("has {length} bytes; an attestation document has {MAX_DOCUMENT_BYTES} at most");
            Err(Failure::wrong(path, reason))
        }
        _ => Ok(bytes),
    }
}

/// Tells the three forms apart, as `countersign-verify` does: a document starts
/// with 0x84 or 0xd2, which no text has; its base64 starts with `h` or `0o`,
/// which no hexadecimal has.
fn decode(bytes: Vec<u8>) -> Vec<u8> {
    let text: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if text.is_empty() {
        return text;
    }
    if let Ok(bytes) = hex::decode(&text) {
        return bytes;
    }
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = [STANDARD, URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(&text).ok());
    decoded.unwrap_or(bytes)
}

/// A document in hexadecimal, with room for line breaks.
const MOST_BYTES: usize = 4 * MAX_DOCUMENT_BYTES;

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn the_three_forms_are_told_apart() {
        // Bytes whose base64 has both `+` and `/`, and needs padding.
        for document in [vec![0x84, 0x44, 0xa1, 0xfb, 0xef, 0xbe, 0xff, 0xff], vec![0xd2, 0x84, 0x44, 0xa1]] {
            let wrapped = |text: String| text.as_bytes().chunks(4).collect::<Vec<_>>().join(&b"\r\n"[..]);
            for kept in [
                document.clone(),
                hex::encode(&document).into_bytes(),
                wrapped(hex::encode_upper(&document)),
                BASE64_STANDARD.encode(&document).into_bytes(),
                BASE64_URL_SAFE_NO_PAD.encode(&document).into_bytes(),
                wrapped(BASE64_STANDARD.encode(&document)),
            ] {
                assert_eq!(decode(kept), document);
            }
        }
        assert_eq!(decode(b"\x84\n\x44".to_vec()), b"\x84\n\x44");
        assert_eq!(decode(b" \n".to_vec()), b"");
    }
}
