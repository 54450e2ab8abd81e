//! The content of a request to the enclave's local proxy: lengths and chunks.

use bytes::BytesMut;
use countersign_enclave::local::{ContentError, ContentReader, Framing, Progress};

/// Any bytes as chunks: how they arrive changes nothing, what is accepted ends where the
/// grammar says, and written anew as one chunk it reads the same.
pub fn raw(bytes: &[u8]) {
    let whole = read(&[bytes]);
    let (front, back) = bytes.split_at(bytes.len() / 2);
    let each: Vec<&[u8]> = bytes.chunks(1).collect();
    for parts in [&[front, back], &each[..]] {
        // Which of two mistakes is found first may differ; that one is, may not.
        let read = read(parts);
        let unfinished = |read: &Read| *read == Err(ContentError::Unfinished);
        assert_eq!((read.as_ref().ok(), unfinished(&read)), (whole.as_ref().ok(), unfinished(&whole)));
    }
    let Ok((data, end)) = whole else { return };
    let accepted = &bytes[..end];
    assert!(accepted.ends_with(b"\r\n"), "the end of the last line");
    let anew = [format!("{:x}\r\n", data.len()).as_bytes(), &data, b"\r\n0\r\n\r\n"].concat();
    let anew = if data.is_empty() { b"0\r\n\r\n".to_vec() } else { anew };
    assert_eq!(read(&[&anew]), Ok((data, anew.len())));
    assert_eq!(read(&[&accepted[..end - 1]]), Err(ContentError::Unfinished), "without its last byte");
    let more = [accepted, b"GET http://a/ HTTP/1.1\r\n\r\n"].concat();
    assert_eq!(read(&[&more]).map(|(_, end)| end), Ok(end), "read on into the next request");
}

/// The data, and how many bytes it took.
type Read = Result<(Vec<u8>, usize), ContentError>;

fn read(parts: &[&[u8]]) -> Read {
    let mut reader = ContentReader::new(Framing::Chunked);
    let (mut buffer, mut data, mut given) = (BytesMut::new(), Vec::new(), 0);
    for part in parts {
        buffer.extend_from_slice(part);
        given += part.len();
        loop {
            match reader.next(&mut buffer)? {
                Progress::Frame(frame) => {
                    if let Ok(bytes) = frame.into_data() {
                        assert!(!bytes.is_empty(), "a chunk of nothing would be the last one");
                        data.extend_from_slice(&bytes);
                    }
                }
                Progress::More => break,
                Progress::Done => return Ok((data, given - buffer.len())),
            }
        }
    }
    Err(ContentError::Unfinished)
}
