//! A document from a file or standard input, in whichever form it was kept.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use countersign_verifier::{MAX_DOCUMENT_BYTES, Refusal, SyntaxRefusal};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The bytes of a document, and the form they came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) form: Form,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Binary,
    Base64,
    Hex,
}

impl Form {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Base64 => "base64",
            Self::Hex => "hex",
        }
    }
}

/// Reads a document. The outer error is about the file, the inner one about what is in it.
pub(crate) fn read(path: &Path) -> Result<Result<Input, Refusal>, String> {
    let bytes = read_at_most(open(path)?, MAX_FILE_BYTES).map_err(|error| unreadable(path, &error))?;
    if bytes.len() > MAX_FILE_BYTES {
        let refusal = SyntaxRefusal::DocumentTooLong { limit: MAX_DOCUMENT_BYTES, actual: bytes.len() };
        return Ok(Err(refusal.into()));
    }
    Ok(Ok(decode(bytes)))
}

/// A file or standard input, to be read as a stream.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, String> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    File::open(path).map(|file| Box::new(file) as Box<dyn Read>).map_err(|error| unreadable(path, &error))
}

/// Reads another small file whole.
pub(crate) fn read_small(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let bytes = read_at_most(file, MAX_FILE_BYTES).map_err(|error| unreadable(path, &error))?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(format!(
            "{} is longer than {MAX_FILE_BYTES} bytes: is it the right file?",
            path.display()
        ));
    }
    Ok(bytes)
}

pub(crate) fn unreadable(path: &Path, error: &impl std::fmt::Display) -> String {
    format!("cannot read {}: {error}; give a file, or - for standard input", path.display())
}

/// One byte more than the limit at most, so that the caller can tell.
fn read_at_most(source: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Tells the three forms apart: a document starts with 0x84 or 0xd2, which no text has; its base64 starts with `h` or
/// `0o`, which no hexadecimal has. What decodes as neither text is taken as it is, for the verifier to refuse.
fn decode(bytes: Vec<u8>) -> Input {
    let text: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if text.is_empty() {
        return Input { form: Form::Binary, bytes };
    }
    if let Ok(bytes) = hex::decode(&text) {
        return Input { form: Form::Hex, bytes };
    }
    for alphabet in [STANDARD, URL_SAFE] {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        if let Ok(bytes) = GeneralPurpose::new(&alphabet, config).decode(&text) {
            return Input { form: Form::Base64, bytes };
        }
    }
    Input { form: Form::Binary, bytes }
}

/// A document in hexadecimal, with room for line breaks.
const MAX_FILE_BYTES: usize = 4 * MAX_DOCUMENT_BYTES;

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    #[test]
    fn the_three_forms_are_told_apart() {
        // Bytes whose base64 has both `+` and `/`, and needs padding.
        for document in [vec![0x84, 0x44, 0xa1, 0xfb, 0xef, 0xbe, 0xff, 0xff], vec![0xd2, 0x84, 0x44, 0xa1]] {
            let wrapped = |text: String| text.as_bytes().chunks(4).collect::<Vec<_>>().join(&b"\r\n"[..]);
            for (form, kept) in [
                (Form::Binary, document.clone()),
                (Form::Hex, hex::encode(&document).into_bytes()),
                (Form::Hex, wrapped(hex::encode_upper(&document))),
                (Form::Base64, BASE64_STANDARD.encode(&document).into_bytes()),
                (Form::Base64, BASE64_URL_SAFE_NO_PAD.encode(&document).into_bytes()),
                (Form::Base64, wrapped(BASE64_STANDARD.encode(&document))),
            ] {
                assert_eq!(decode(kept), Input { form, bytes: document.clone() });
            }
        }
    }

    #[test]
    fn what_is_no_text_stays_as_it_is() {
        for bytes in [&b""[..], b" \n", b"hEQ=x", b"\x84\n\x44"] {
            assert_eq!(decode(bytes.to_vec()), Input { form: Form::Binary, bytes: bytes.to_vec() });
        }
    }
}
