use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, header};
use hyper::body::Frame;

use super::{
    framing::Framing,
    head::{fields, line_ends_are_whole},
};

/// Reads a request's content out of a buffer, as far as it has come.
#[derive(Clone, Debug)]
pub struct ContentReader {
    state: State,
    /// Bytes of chunk extensions that may still come.
    extensions: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes to come.
    Length(u64),
    /// `chunk-size [ chunk-ext ] CRLF`.
    Size,
    /// So many bytes of a chunk to come.
    Data(u64),
    /// The CRLF behind a chunk.
    DataEnd,
    /// `trailer-section CRLF`.
    Trailers,
    /// Everything has come.
    Done,
}

/// What was found.
#[derive(Debug)]
pub enum Progress {
    /// Data, or the trailer section.
    Frame(Frame<Bytes>),
    /// Nothing more until more comes.
    More,
    /// The content is complete.
    Done,
}

impl ContentReader {
    /// At the start of a request's content.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
        };
        Self { state, extensions: MAX_EXTENSIONS }
    }

    /// Whether everything has come.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next part off the buffer (RFC 9112 section 7.1).
    ///
    /// # Errors
    /// [`ContentError`], as soon as it is certain.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Progress, ContentError> {
        loop {
            match self.state {
                State::Length(left) | State::Data(left) => {
                    let Some((data, left)) = take(buffer, left) else { return Ok(Progress::More) };
                    self.state = match (self.state, left) {
                        (State::Data(_), 0) => State::DataEnd,
                        (State::Data(_), left) => State::Data(left),
                        (_, 0) => State::Done,
                        (_, left) => State::Length(left),
                    };
                    return Ok(Progress::Frame(Frame::data(data)));
                }
                State::Size => match self.size(buffer)? {
                    Some(0) => self.state = State::Trailers,
                    Some(size) => self.state = State::Data(size),
                    None => return Ok(Progress::More),
                },
                State::DataEnd => match buffer.as_ref() {
                    [b'\r', b'\n', ..] => {
                        buffer.advance(2);
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(Progress::More),
                    _ => return Err(ContentError::ChunkEnd),
                },
                State::Trailers => match trailers(buffer)? {
                    Some(trailers) => {
                        self.state = State::Done;
                        if !trailers.is_empty() {
                            return Ok(Progress::Frame(Frame::trailers(trailers)));
                        }
                    }
                    None => return Ok(Progress::More),
                },
                State::Done => return Ok(Progress::Done),
            }
        }
    }

    /// `1*HEXDIG`, at most sixteen, and extensions, which say nothing to us.
    fn size(&mut self, buffer: &mut BytesMut) -> Result<Option<u64>, ContentError> {
        let window = buffer.get(..MAX_SIZE_LINE).unwrap_or(buffer);
        let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
            let line = window.strip_suffix(b"\r").unwrap_or(window);
            if buffer.len() >= MAX_SIZE_LINE {
                return Err(ContentError::SizeLine);
            }
            return match size_line(line) {
                Err(ContentError::Size) if line.is_empty() => Ok(None),
                Err(error) => Err(error),
                Ok(_) => Ok(None),
            };
        };
        let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r"));
        let (size, extensions) = size_line(line.ok_or(ContentError::SizeLine)?)?;
        self.extensions = self.extensions.checked_sub(extensions).ok_or(ContentError::Extensions)?;
        buffer.advance(end + 1);
        Ok(Some(size))
    }
}

/// The size, and how long the extensions are.
fn size_line(line: &[u8]) -> Result<(u64, usize), ContentError> {
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (size, extensions) = line.split_at(digits);
    let visible = |byte: &u8| *byte == b'\t' || (b' '..=b'~').contains(byte) || *byte >= 0x80;
    if !(extensions.is_empty() || extensions.starts_with(b";")) || !extensions.iter().all(visible) {
        return Err(ContentError::SizeLine);
    }
    if size.len() > MAX_SIZE_DIGITS {
        return Err(ContentError::Size);
    }
    let size = std::str::from_utf8(size).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
    Ok((size.ok_or(ContentError::Size)?, extensions.len()))
}

/// As much as there is of what is to come, and how much is then left.
fn take(buffer: &mut BytesMut, left: u64) -> Option<(Bytes, u64)> {
    let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
    let data = buffer.split_to(here).freeze();
    (here > 0).then_some((data, left - here as u64))
}

/// What may stand in the trailer section of those that came; `None` while it is incomplete.
fn trailers(buffer: &mut BytesMut) -> Result<Option<HeaderMap>, ContentError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    let (end, mut found) = match httparse::parse_headers(buffer, &mut headers) {
        Ok(httparse::Status::Complete((end, parsed))) => {
            (end, fields(parsed).map_err(|_| ContentError::Trailers)?)
        }
        Ok(httparse::Status::Partial) if buffer.len() < MAX_TRAILER_SECTION => return Ok(None),
        _ => return Err(ContentError::Trailers),
    };
    let section = buffer.split_to(end);
    if end > MAX_TRAILER_SECTION || !line_ends_are_whole(&section) {
        return Err(ContentError::Trailers);
    }
    // RFC 9110 section 6.5.1: not what frames, routes, authenticates or is about the content.
    for name in NEVER_TRAILERS {
        found.remove(name);
    }
    Ok(Some(found))
}

const NEVER_TRAILERS: [header::HeaderName; 16] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::EXPECT,
    header::HOST,
    header::MAX_FORWARDS,
    header::PROXY_AUTHORIZATION,
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Sixteen hexadecimal digits are 64 bits.
const MAX_SIZE_DIGITS: usize = 16;

/// A chunk's size and its extensions; nobody is known to send any.
const MAX_SIZE_LINE: usize = 256;

/// The extensions of all chunks of a request: with one-byte chunks they would be most of it.
const MAX_EXTENSIONS: usize = 4096;

const MAX_TRAILERS: usize = 32;

const MAX_TRAILER_SECTION: usize = 8 * 1024;

/// Why content is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentError {
    /// A chunk's size is no hexadecimal number, or none that fits.
    Size,
    /// Something else than an extension behind a chunk's size, a line too long, or one that does
    /// not end in CR LF.
    SizeLine,
    /// More extensions than any sender has.
    Extensions,
    /// No CR LF behind a chunk.
    ChunkEnd,
    /// A trailer section that is none, or too long.
    Trailers,
    /// The caller ended before the content did.
    Unfinished,
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "a chunk's size is not a hexadecimal number of at most 16 digits",
            Self::SizeLine => "the line of a chunk's size is not well-formed",
            Self::Extensions => "the chunks have too many extensions",
            Self::ChunkEnd => "a chunk is not followed by CR LF",
            Self::Trailers => "the trailer section is not well-formed",
            Self::Unfinished => "the caller ended in the middle of the request's content",
        })
    }
}

impl std::error::Error for ContentError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// All data, trailer names, and what is left; or the error.
    fn read(framing: Framing, bytes: &[u8]) -> Result<(String, Vec<String>, String), ContentError> {
        let mut whole = collect(framing, &[bytes]);
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        let bytewise = collect(framing, &each);
        if let (Ok((_, _, left)), Ok(bytewise)) = (&mut whole, &bytewise) {
            // Fed byte by byte, nothing behind the end is read.
            left.truncate(bytewise.2.len());
        }
        assert_eq!(whole, bytewise, "{:?}", String::from_utf8_lossy(bytes));
        collect(framing, &[bytes])
    }

    fn collect(framing: Framing, parts: &[&[u8]]) -> Result<(String, Vec<String>, String), ContentError> {
        let mut reader = ContentReader::new(framing);
        let (mut buffer, mut data, mut names) = (BytesMut::new(), Vec::new(), Vec::new());
        for part in parts {
            buffer.extend_from_slice(part);
            loop {
                match reader.next(&mut buffer)? {
                    Progress::Frame(frame) => match frame.into_data() {
                        Ok(bytes) => data.extend_from_slice(&bytes),
                        Err(frame) => {
                            names.extend(frame.into_trailers().unwrap().keys().map(|name| name.to_string()))
                        }
                    },
                    Progress::More => break,
                    Progress::Done => {
                        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                        return Ok((text(&data), names, text(&buffer)));
                    }
                }
            }
        }
        Err(ContentError::Unfinished)
    }

    #[test]
    fn content_ends_where_it_says() {
        let data = |text: &str, left: &str| Ok((text.to_owned(), Vec::new(), left.to_owned()));
        assert_eq!(collect(Framing::Empty, &[b"GET"]), data("", "GET"));
        assert_eq!(collect(Framing::Length(3), &[b"abcGET"]), data("abc", "GET"));
        let chunks = b"3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n000\r\n\r\nGET";
        assert_eq!(read(Framing::Chunked, chunks), data("abc0123456789", "GET"));
        let trailers = b"1\r\na\r\n0\r\nX-Sum: 1\r\nContent-Length: 7\r\nHost: b\r\n\r\nGET";
        let expected = Ok(("a".to_owned(), vec!["x-sum".to_owned()], "GET".to_owned()));
        assert_eq!(read(Framing::Chunked, trailers), expected);
    }

    #[test]
    fn chunks_that_two_readers_read_in_two_ways_are_refused() {
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(300));
        let many = format!("{}0\r\n\r\n", format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(30));
        for (bytes, error) in [
            (&b"3\nabc\r\n0\r\n\r\n"[..], ContentError::SizeLine),
            (b"3\r\nabc\n0\r\n\r\n", ContentError::ChunkEnd),
            (b"3\r\nabcd\r\n0\r\n\r\n", ContentError::ChunkEnd),
            (b"3;a\nabc\r\n0\r\n\r\n", ContentError::SizeLine),
            (b"3;a\rb\r\nabc\r\n0\r\n\r\n", ContentError::SizeLine),
            (b"3;\0\r\nabc\r\n0\r\n\r\n", ContentError::SizeLine),
            (b"3 \r\nabc\r\n0\r\n\r\n", ContentError::SizeLine),
            (b" 3\r\nabc\r\n0\r\n\r\n", ContentError::SizeLine),
            (b"+3\r\nabc\r\n0\r\n\r\n", ContentError::SizeLine),
            (b"-1\r\nabc\r\n0\r\n\r\n", ContentError::SizeLine),
            (b"0x3\r\nabc\r\n0\r\n\r\n", ContentError::SizeLine),
            (b"\r\nabc\r\n0\r\n\r\n", ContentError::Size),
            (b";a\r\nabc\r\n0\r\n\r\n", ContentError::Size),
            (b"10000000000000003\r\nabc\r\n0\r\n\r\n", ContentError::Size),
            (long.as_bytes(), ContentError::SizeLine),
            (many.as_bytes(), ContentError::Extensions),
            (b"0\r\n\nGET", ContentError::Trailers),
            (b"0\r\nX: 1\n\r\nGET", ContentError::Trailers),
            (b"0\r\nX : 1\r\n\r\nGET", ContentError::Trailers),
            (b"0\r\n\r\r\nGET", ContentError::Trailers),
            (b"3\r\nab", ContentError::Unfinished),
        ] {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(collect(Framing::Chunked, &[bytes]), Err(error), "{text:?}");
        }
    }
}
