use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use countersign_protocol::{Destination, Problem};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Frame;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
    sync::mpsc,
    time::{Instant, interval_at},
};
use tracing::debug;

use super::{
    ForwardRequest, Framing, HeadError, TargetError, Version, answer,
    content::{ContentError, ContentReader, Progress},
    hop::{self, Hop},
    origin::{self, Content, Origin},
    reply::{self, Asked, SendError, Sent},
};
use crate::{
    egress::{Connection, Egress},
    relay::{Early, hung_up},
};

/// How an exchange ended.
pub(super) enum Next {
    /// The caller may ask again.
    Again,
    /// The caller has its answer, and the connection ends.
    Close,
    /// The caller was told no.
    Refused(Problem),
    /// The caller's answer is not whole, so it must not look so.
    Abort,
    /// Both sides speak another protocol from now on.
    Upgraded(Connection, Early),
}

/// Sends requests in absolute form on to their origins.
pub(super) struct Forwarder<'a> {
    pub(super) egress: &'a Egress,
}

impl Forwarder<'_> {
    /// One request and its answer. `kept` is the connection to the origin before,
    /// and afterwards the one that may serve again; `unread` is what came from the
    /// caller behind the head.
    pub(super) async fn exchange(
        &self,
        caller: &mut TcpStream,
        unread: &mut BytesMut,
        request: ForwardRequest,
        kept: &mut Option<Origin>,
    ) -> Next {
        let ForwardRequest { method, target, version, mut fields, framing } = request;
        let mut content = ContentReader::new(framing);
        // What is known to be wrong is refused before anything is dialled.
        if let Err(error) = check_ahead(content.clone(), unread) {
            return Next::Refused(answer::bad_content(error));
        }
        let hop = hop::take(&mut fields);
        let last = hop.close || version == Version::Http10;
        if method == Method::OPTIONS && !may_go_further(&mut fields) {
            return answer_options(caller, last).await;
        }
        prepare(&mut fields, &hop, version, framing);
        match HeaderValue::try_from(target.host()) {
            Ok(host) => drop(fields.insert(header::HOST, host)),
            Err(_) => return Next::Refused(answer::bad_head(&HeadError::Url(TargetError::Path))),
        }
        hop::add_via(&mut fields, version);
        let outgoing = Outgoing { method, path: target.path, fields, framing };

        let again = match kept.take() {
            Some(mut origin) => origin.takes(&target.destination).await.then_some(origin),
            None => None,
        };
        let mut fresh = again.is_none();
        let mut origin = match again {
            Some(origin) => origin,
            None => match self.open(&target.destination).await {
                Ok(origin) => origin,
                Err(problem) => return Next::Refused(problem),
            },
        };
        loop {
            let asked = Asked { method: &outgoing.method, version, last };
            match carry(caller, unread, &mut content, &outgoing, &mut origin, asked).await {
                Carried::Answered => {
                    *kept = Some(origin);
                    return Next::Again;
                }
                Carried::Last => return Next::Close,
                Carried::Upgraded(way, early) => return Next::Upgraded(way, early),
                Carried::BadContent(error) => return Next::Refused(answer::bad_content(error)),
                Carried::Broken => return Next::Abort,
                Carried::TwoEnds => return Next::Refused(answer::two_ends(&target.destination)),
                // The origin closed a kept connection while the request was on its way: not its
                // answer to it (RFC 9112 section 9.3.1).
                Carried::NoAnswer(_) if !fresh && outgoing.may_be_repeated() => {
                    fresh = true;
                    origin = match self.open(&target.destination).await {
                        Ok(origin) => origin,
                        Err(problem) => return Next::Refused(problem),
                    };
                }
                Carried::NoAnswer(error) => {
                    return Next::Refused(answer::no_answer(&target.destination, &error));
                }
            }
        }
    }

    async fn open(&self, destination: &Destination) -> Result<Origin, Problem> {
        let way = self.egress.open(destination).await.map_err(|error| answer::not_opened(&error))?;
        Origin::new(destination.clone(), way).await.map_err(|error| answer::no_answer(destination, &error))
    }
}

/// A request as it goes to the origin.
struct Outgoing {
    method: Method,
    path: http::uri::PathAndQuery,
    fields: HeaderMap,
    framing: Framing,
}

impl Outgoing {
    fn request(&self, content: Content) -> Request<Content> {
        let mut request = Request::new(content);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.clone().into();
        *request.headers_mut() = self.fields.clone();
        request
    }

    /// Nothing of it is used up, and twice is as good as once (RFC 9110 section 9.2.2).
    fn may_be_repeated(&self) -> bool {
        self.framing == Framing::Empty && self.method.is_idempotent()
    }
}

/// Sets what is ours to say about this hop.
fn prepare(fields: &mut HeaderMap, hop: &Hop, version: Version, framing: Framing) {
    match framing {
        Framing::Empty => {}
        Framing::Length(length) => {
            fields.insert(header::CONTENT_LENGTH, length.into());
        }
        Framing::Chunked => {
            fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    if version == Version::Http10 {
        // RFC 9110 section 10.1.1: of no meaning there.
        fields.remove(header::EXPECT);
    } else if let Some(protocol) = hop.upgrade.clone().filter(|_| framing == Framing::Empty) {
        // Whatever it is: the destination is one that the caller may have a tunnel to.
        fields.insert(header::UPGRADE, protocol);
        fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// RFC 9110 section 7.6.2: with `Max-Forwards: 0` this proxy is who was asked.
fn may_go_further(fields: &mut HeaderMap) -> bool {
    let value = fields.get(header::MAX_FORWARDS).and_then(|value| value.to_str().ok());
    match value.and_then(|text| text.parse::<u32>().ok()) {
        Some(0) => false,
        Some(left) => {
            fields.insert(header::MAX_FORWARDS, (left - 1).into());
            true
        }
        None => true,
    }
}

async fn answer_options(caller: &mut TcpStream, last: bool) -> Next {
    use tokio::io::AsyncWriteExt;
    match caller.write_all(answer::OPTIONS).await {
        Ok(()) if !last => Next::Again,
        Ok(()) => Next::Close,
        Err(_) => Next::Abort,
    }
}

fn check_ahead(mut content: ContentReader, unread: &BytesMut) -> Result<(), ContentError> {
    if content.is_done() {
        return Ok(());
    }
    let mut ahead = unread.clone();
    while let Progress::Frame(_) = content.next(&mut ahead)? {}
    Ok(())
}

/// What became of a request that was sent on.
enum Carried {
    /// Answered, and both connections can serve again.
    Answered,
    /// Answered, and the caller's connection ends.
    Last,
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
async fn carry(
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
        let pumped = pump(&mut from_caller, unread, content, fill).await;
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
        match reply::send(&mut to_caller, parts, incoming, &asked).await {
            Ok(Sent::Complete) => Carried::Answered,
            Ok(Sent::Last) => Carried::Last,
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
) -> Result<(), Stopped> {
    loop {
        let error = match content.next(unread) {
            Ok(Progress::Done) => return Ok(()),
            Ok(Progress::Frame(frame)) => match fill.send(Ok(frame)).await {
                Ok(()) => continue,
                Err(_) => return Err(Stopped::Origin),
            },
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
