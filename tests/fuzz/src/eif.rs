//! Enclave images: the reader of `countersign-verifier`.

use countersign_verifier::{EifError, EnclaveImage};
use std::error::Error;
use std::io::{self, ErrorKind, Read};

/// Any bytes as an image, and the same bytes with the checksum that they should have: only so does a fuzzer get to an
/// image that is accepted.
pub fn raw(bytes: &[u8]) {
    if let Err(EifError::Checksum { expected: _, actual }) = check(bytes) {
        let mut repaired = bytes.to_vec();
        repaired[CHECKSUM].copy_from_slice(&actual.to_be_bytes());
        let image = check(&repaired).expect("only the checksum was wrong");
        accepted(&image, &repaired);
    }
}

/// What holds for any bytes.
fn check(bytes: &[u8]) -> Result<EnclaveImage, EifError> {
    let read = EnclaveImage::read(bytes);
    let slow = EnclaveImage::read(Slow { rest: bytes, calls: bytes.len() });
    assert_eq!(slow, read, "read otherwise in small pieces");
    match &read {
        Ok(image) => accepted(image, bytes),
        Err(error) => readable(error),
    }
    read
}

fn accepted(image: &EnclaveImage, bytes: &[u8]) {
    assert!(bytes.starts_with(b".eif") && (2..=4).contains(&image.version()));
    assert_eq!(image.pcrs().len(), if image.is_signed() { 4 } else { 3 });
    assert!(!image.pcrs().is_debug());
    assert!(EnclaveImage::read(&bytes[..bytes.len() - 1]).is_err(), "an image without its last byte");
    let more = [bytes, &[0]].concat();
    assert_eq!(
        EnclaveImage::read(&more[..]),
        Err(EifError::TrailingBytes { at: bytes.len() as u64 }),
        "an image and one byte more"
    );
}

/// An error is short lines that can stand in a log, whatever the bytes were.
fn readable(error: &EifError) {
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        assert!(!text.is_empty() && text.len() <= 1_024, "{} bytes: {text}", text.len());
        assert!(!text.chars().any(char::is_control), "control characters: {text:?}");
        next = error.source();
    }
}

/// A few bytes at a time, and now and then an interruption.
struct Slow<'b> {
    rest: &'b [u8],
    calls: usize,
}

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(5) {
            return Err(ErrorKind::Interrupted.into());
        }
        let count = buffer.len().min(1 + self.calls * 7 % 97);
        self.rest.read(&mut buffer[..count])
    }
}

/// Where the checksum stands.
const CHECKSUM: std::ops::Range<usize> = 544..548;
