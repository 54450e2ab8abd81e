use std::io;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, response};
use hyper::body::{Body, Incoming};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{Version, hop, moved::Moved, origin};

/// How the caller learns where an answer's content ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// There is none (RFC 9110 section 6.4.1: to HEAD, 1xx, 204, 304).
    None,
    /// After so many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// With the connection: HTTP/1.0 has no chunks.
    Close,
}

/// What became of an answer.
#[derive(Debug)]
pub(super) enum Sent {
    /// Complete, and the next request may come.
    Complete,
    /// Complete, and the connection ends with it.
    Last,
}

/// Why an answer did not arrive whole.
#[derive(Debug)]
pub(super) enum SendError {
    /// The caller does not take it.
    Caller(io::Error),
    /// The origin did not finish it.
    Origin(hyper::Error),
}

/// An interim answer (RFC 9110 section 15.2), for callers that know them.
pub(super) async fn send_interim<W: AsyncWrite + Unpin>(
    caller: &mut W,
    status: StatusCode,
    mut fields: HeaderMap,
) -> io::Result<()> {
    hop::take(&mut fields);
    caller.write_all(&head(status, &fields)).await
}

/// `101 Switching Protocols`; the bytes after it are no HTTP any more.
pub(super) async fn send_upgrade<W: AsyncWrite + Unpin>(
    caller: &mut W,
    parts: &mut response::Parts,
) -> io::Result<()> {
    if let Some(protocol) = hop::take(&mut parts.headers).upgrade {
        parts.headers.insert(header::UPGRADE, protocol);
    }
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    caller.write_all(&head(parts.status, &parts.headers)).await
}

/// The final answer with its content.
pub(super) async fn send<W: AsyncWrite + Unpin>(
    caller: &mut W,
    mut parts: response::Parts,
    mut content: Incoming,
    request: &Asked<'_>,
) -> Result<Sent, SendError> {
    let length = parts.headers.get(header::CONTENT_LENGTH).cloned();
    let ending = ending(&parts, &content, request);
    hop::take(&mut parts.headers);
    match ending {
        // What the content's length would be; it is not sent, so nobody relies on it.
        Ending::None if parts.status != StatusCode::NO_CONTENT => {
            parts.headers.extend(length.map(|length| (header::CONTENT_LENGTH, length)));
        }
        Ending::None => {}
        Ending::Length(length) => {
            parts.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        Ending::Chunked => {
            parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Ending::Close => {}
    }
    let last = request.last || ending == Ending::Close;
    if last {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let received = if parts.version == http::Version::HTTP_10 { Version::Http10 } else { Version::Http11 };
    hop::add_via(&mut parts.headers, received);
    caller.write_all(&head(parts.status, &parts.headers)).await.map_err(SendError::Caller)?;
    let mut trailers = HeaderMap::new();
    while let Some(frame) = origin::next_frame(&mut content).await {
        match frame.map_err(SendError::Origin)?.into_data() {
            Ok(data) => {
                request.moved.down(data.len());
                write_data(caller, data, ending).await.map_err(SendError::Caller)?;
            }
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    if ending == Ending::Chunked {
        hop::take(&mut trailers);
        let end = [b"0\r\n", &*lines(&trailers), b"\r\n"].concat();
        caller.write_all(&end).await.map_err(SendError::Caller)?;
    }
    Ok(if last { Sent::Last } else { Sent::Complete })
}

/// What of the request decides how its answer is sent.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) version: Version,
    /// The connection ends with this answer.
    pub(super) last: bool,
    /// Content that passes.
    pub(super) moved: &'a Moved,
}

fn ending(parts: &response::Parts, content: &Incoming, request: &Asked<'_>) -> Ending {
    let without = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if *request.method == Method::HEAD || without || parts.status.is_informational() {
        return Ending::None;
    }
    match (content.size_hint().exact(), request.version) {
        (Some(length), _) => Ending::Length(length),
        (None, Version::Http11) => Ending::Chunked,
        (None, Version::Http10) => Ending::Close,
    }
}

async fn write_data<W: AsyncWrite + Unpin>(caller: &mut W, data: Bytes, ending: Ending) -> io::Result<()> {
    match ending {
        Ending::None => Ok(()),
        // An empty chunk would be the last one.
        _ if data.is_empty() => Ok(()),
        Ending::Length(_) | Ending::Close => caller.write_all(&data).await,
        Ending::Chunked => {
            let size = format!("{:x}\r\n", data.len());
            caller.write_all_buf(&mut size.as_bytes().chain(data).chain(&b"\r\n"[..])).await
        }
    }
}

fn head(status: StatusCode, fields: &HeaderMap) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or_default();
    let line = format!("HTTP/1.1 {} {reason}\r\n", status.as_str());
    [line.as_bytes(), &*lines(fields), b"\r\n"].concat()
}

/// Each field on its line, its name as people write it: some readers of HTTP/1 expect that.
fn lines(fields: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::with_capacity(fields.len() * 32);
    for (name, value) in fields {
        let mut after = b'-';
        for byte in name.as_str().bytes() {
            lines.push(if after == b'-' { byte.to_ascii_uppercase() } else { byte });
            after = byte;
        }
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    lines
}
