use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use hyper::body::Frame;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
    sync::mpsc,
    time::{Instant, interval_at},
};
use tracing::debug;

use super::{
    Version,
    content::{ContentError, ContentReader, Progress},
    forward::Outgoing,
    moved::Moved,
    origin::{self, Content, Origin},
    reply::{self, Asked, SendError, Sent},
};
use crate::{
    egress::Connection,
    relay::{Early, hung_up},
};

/// What became of a request that was sent on.
pub(super) enum Carried {
    /// Answered, and both connections can serve again.
    Answered(StatusCode),
    /// Answered, and the caller's connection ends.
    Last(StatusCode),
    Upgraded(Connection, Early),
    /// The caller's content was wrong, and it has no answer yet.
    BadContent(ContentError),
    /// The origin gave no answer.
    NoAnswer(hyper::Error),
    /// The origin's answer has two ends (RFC 9112 section 6.3: "ought to be handled as an error").
    TwoEnds,
    /// The answer broke off, or the caller is gone.
    Broken,
}

/// Content up and answer down at the same time: an origin may answer before it has
/// read everything, and a caller may wait for `100 Continue` before it sends.
pub(super) async fn carry(
    caller: &mut TcpStream,
    unread: &mut BytesMut,
    content: &mut ContentReader,
    outgoing: &Outgoing,
    origin: &mut Origin,
    mut asked: Asked<'_>,
) -> Carried {
    let (fill, parts) = Content::new(outgoing.framing);
    let mut request = outgoing.request(parts);
    let (interim, mut interims) = mpsc::channel(MAX_INTERIMS);
    if asked.version == Version::Http11 {
        hyper::ext::on_informational(&mut request, move |answer| {
            // More of them than fit nobody needs.
            let _ = interim.try_send((answer.status(), answer.headers().clone()));
        });
    }
    let answering = AtomicBool::new(false);
    let content_done = AtomicBool::new(content.is_done());
    let (mut from_caller, mut to_caller) = caller.split();
    let pump = async {
        let pumped = pump(&mut from_caller, unread, content, fill, asked.moved).await;
        content_done.store(pumped.is_ok(), Ordering::Relaxed);
        pumped
    };
    let exchange = async {
        let response = {
            let mut response = std::pin::pin!(origin.send(request));
            // Nobody reads from a caller that waits for its answer, so nobody would see it vanish.
            let mut watch = interval_at(Instant::now() + WATCH, WATCH);
            loop {
                tokio::select! {
                    biased;
                    _ = watch.tick() => {
                        if hung_up(to_caller.as_ref()) {
                            return Carried::Broken;
                        }
                    }
                    Some((status, fields)) = interims.recv() => {
                        if reply::send_interim(&mut to_caller, status, fields).await.is_err() {
                            return Carried::Broken;
                        }
                    }
                    response = &mut response => break response,
                }
            }
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => return Carried::NoAnswer(error),
        };
        let has = |name| response.headers().contains_key(name);
        if has(header::CONTENT_LENGTH) && has(header::TRANSFER_ENCODING) {
            return Carried::TwoEnds;
        }
        answering.store(true, Ordering::Relaxed);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return upgrade(&mut to_caller, response).await;
        }
        // An origin that answers early may never read the rest of the content, and then there
        // is no telling where the caller's next request begins.
        asked.last |= !content_done.load(Ordering::Relaxed);
        let (parts, incoming) = response.into_parts();
        let status = parts.status;
        match reply::send(&mut to_caller, parts, incoming, &asked).await {
            Ok(Sent::Complete) => Carried::Answered(status),
            Ok(Sent::Last) => Carried::Last(status),
            Err(SendError::Caller(why)) => {
                debug!("the caller left its answer: {why}");
                Carried::Broken
            }
            Err(SendError::Origin(why)) => {
                debug!("the answer broke off: {why}");
                Carried::Broken
            }
        }
    };
    let mut pump = std::pin::pin!(pump);
    let mut exchange = std::pin::pin!(exchange);
    let mut pumped = None;
    let mut carried = loop {
        tokio::select! {
            biased;
            result = &mut pump, if pumped.is_none() => pumped = Some(result),
            carried = &mut exchange => break carried,
        }
    };
    if let (Some(Err(Stopped::Content(error))), false) = (pumped, answering.load(Ordering::Relaxed)) {
        carried = Carried::BadContent(error);
    }
    carried
}

async fn upgrade<W: tokio::io::AsyncWrite + Unpin>(
    to_caller: &mut W,
    mut response: http::Response<hyper::body::Incoming>,
) -> Carried {
    let upgraded = match hyper::upgrade::on(&mut response).await {
        Ok(upgraded) => upgraded,
        Err(error) => return Carried::NoAnswer(error),
    };
    let (mut parts, _) = response.into_parts();
    match (reply::send_upgrade(to_caller, &mut parts).await, origin::into_way(upgraded)) {
        (Ok(()), Some((way, early))) => Carried::Upgraded(way, early),
        _ => Carried::Broken,
    }
}

/// Why content stopped before its end.
enum Stopped {
    /// It is wrong.
    Content(ContentError),
    /// The origin takes no more.
    Origin,
}

/// Moves the request's content from the caller to the origin.
async fn pump<R: AsyncRead + Unpin>(
    caller: &mut R,
    unread: &mut BytesMut,
    content: &mut ContentReader,
    fill: mpsc::Sender<io::Result<Frame<Bytes>>>,
    moved: &Moved,
) -> Result<(), Stopped> {
    loop {
        let error = match content.next(unread) {
            Ok(Progress::Done) => return Ok(()),
            Ok(Progress::Frame(frame)) => {
                moved.up(frame.data_ref().map_or(0, Bytes::len));
                match fill.send(Ok(frame)).await {
                    Ok(()) => continue,
                    Err(_) => return Err(Stopped::Origin),
                }
            }
            Ok(Progress::More) => {
                unread.reserve(READ);
                match caller.read_buf(unread).await {
                    Ok(0) | Err(_) => ContentError::Unfinished,
                    Ok(_) => continue,
                }
            }
            Err(error) => error,
        };
        // The origin sees a request that breaks off, not one that ends.
        let _ = fill.send(Err(io::Error::other(error))).await;
        return Err(Stopped::Content(error));
    }
}

/// How often a caller that waits is looked at.
const WATCH: Duration = Duration::from_secs(15);

/// Interim answers that wait for a slow caller.
const MAX_INTERIMS: usize = 8;

/// Bytes of content read from a caller at once.
const READ: usize = 16 * 1024;
