use bytes::BytesMut;
use countersign_protocol::{Destination, Problem};
use http::{HeaderMap, HeaderValue, Method, Request, header};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    ForwardRequest, Framing, HeadError, TargetError, Version,
    answer::{self, Then},
    content::{ContentError, ContentReader, Progress},
    exchange::{Carried, carry},
    hop::{self, Hop},
    origin::{Content, Origin},
    reply::Asked,
};
use crate::{
    egress::{Connection, Egress},
    relay::Early,
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
            // Content that nobody reads must not be taken for the next request.
            let then = if last || !content.is_done() { Then::Close } else { Then::Stay };
            return answer_options(caller, then).await;
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
pub(super) struct Outgoing {
    method: Method,
    path: http::uri::PathAndQuery,
    fields: HeaderMap,
    pub(super) framing: Framing,
}

impl Outgoing {
    pub(super) fn request(&self, content: Content) -> Request<Content> {
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

async fn answer_options(caller: &mut TcpStream, then: Then) -> Next {
    match (caller.write_all(answer::options(then).as_bytes()).await, then) {
        (Ok(()), Then::Stay) => Next::Again,
        (Ok(()), Then::Close) => Next::Close,
        (Err(_), _) => Next::Abort,
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
