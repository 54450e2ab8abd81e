use bytes::BytesMut;
use countersign_protocol::{Destination, Problem};
use countersign_telemetry::{
    Span, TraceContext,
    names::{self, HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    ForwardRequest, Framing, HeadError, TargetError, Version,
    answer::{self, Then},
    content::{ContentError, ContentReader, Progress},
    exchange::{Carried, carry},
    head,
    hop::{self, Hop},
    moved::Moved,
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
    /// The caller is to be told no.
    Refused(Problem, Span),
    /// The caller's answer is not whole, so it must not look so.
    Abort,
    /// Both sides speak another protocol from now on.
    Upgraded(Connection, Early, Span),
}

/// The same, before the span of the exchange is seen to.
enum Outcome {
    Again,
    Close,
    Refused(Problem),
    Abort,
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
        mut request: ForwardRequest,
        kept: &mut Option<Origin>,
    ) -> Next {
        let (mut span, moved) = (self.take_part(&mut request), Moved::default());
        let outcome = self.carry_out(caller, unread, request, kept, &mut span, &moved).await;
        let (up, down) = moved.read();
        span.set(names::BYTES_UP, up);
        span.set(names::BYTES_DOWN, down);
        match outcome {
            Outcome::Again => Next::Again,
            Outcome::Close => Next::Close,
            Outcome::Abort => {
                span.fail("broken-off");
                Next::Abort
            }
            Outcome::Refused(problem) => Next::Refused(problem, span),
            Outcome::Upgraded(way, early) => Next::Upgraded(way, early, span),
        }
    }

    /// Begins this proxy's part of the trace. What goes on names it as the parent (W3C Trace Context,
    /// section 2.3), and a `tracestate` only where the trace is the caller's. While nothing is traced
    /// here, both fields are the caller's and the origin's business, as all others are.
    fn take_part(&self, request: &mut ForwardRequest) -> Span {
        let ForwardRequest { method, target, fields, .. } = request;
        let telemetry = self.egress.telemetry();
        if !telemetry.traces() {
            return Span::none();
        }
        let parent = head::trace(fields);
        let mut span = telemetry.forward_span(&target.destination, parent.as_ref());
        span.set(HTTP_REQUEST_METHOD, known_method(method));
        if let Some(own) = span.context().and_then(|own| HeaderValue::try_from(own.to_string()).ok()) {
            fields.insert(TRACEPARENT, own);
            if parent.is_none() {
                fields.remove(TRACESTATE);
            }
        }
        span
    }

    async fn carry_out(
        &self,
        caller: &mut TcpStream,
        unread: &mut BytesMut,
        request: ForwardRequest,
        kept: &mut Option<Origin>,
        span: &mut Span,
        moved: &Moved,
    ) -> Outcome {
        let ForwardRequest { method, target, version, mut fields, framing } = request;
        let mut content = ContentReader::new(framing);
        // What is known to be wrong is refused before anything is dialled.
        if let Err(error) = check_ahead(content.clone(), unread) {
            return Outcome::Refused(answer::bad_content(error));
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
            Err(_) => return Outcome::Refused(answer::bad_head(&HeadError::Url(TargetError::Path))),
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
            None => match self.open(&target.destination, span).await {
                Ok(origin) => origin,
                Err(problem) => return Outcome::Refused(problem),
            },
        };
        loop {
            let asked = Asked { method: &outgoing.method, version, last, moved };
            match carry(caller, unread, &mut content, &outgoing, &mut origin, asked).await {
                Carried::Answered(status) => {
                    span.set(HTTP_RESPONSE_STATUS_CODE, status.as_u16());
                    *kept = Some(origin);
                    return Outcome::Again;
                }
                Carried::Last(status) => {
                    span.set(HTTP_RESPONSE_STATUS_CODE, status.as_u16());
                    return Outcome::Close;
                }
                Carried::Upgraded(way, early) => return Outcome::Upgraded(way, early),
                Carried::BadContent(error) => return Outcome::Refused(answer::bad_content(error)),
                Carried::Broken => return Outcome::Abort,
                Carried::TwoEnds => return Outcome::Refused(answer::two_ends(&target.destination)),
                // The origin closed a kept connection while the request was on its way: not its
                // answer to it (RFC 9112 section 9.3.1).
                Carried::NoAnswer(_) if !fresh && outgoing.may_be_repeated() => {
                    fresh = true;
                    origin = match self.open(&target.destination, span).await {
                        Ok(origin) => origin,
                        Err(problem) => return Outcome::Refused(problem),
                    };
                }
                Carried::NoAnswer(error) => {
                    return Outcome::Refused(answer::no_answer(&target.destination, &error));
                }
            }
        }
    }

    async fn open(&self, destination: &Destination, span: &mut Span) -> Result<Origin, Problem> {
        let way =
            self.egress.open_under(destination, span).await.map_err(|error| answer::not_opened(&error))?;
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

/// The method, if it is one that everybody knows: an application may write any word there, and the names of
/// its own are nobody's business (OpenTelemetry, `http.request.method`).
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [Method; 7] = [
        Method::DELETE,
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
        Method::POST,
        Method::PUT,
    ];
    const WORDS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
    let at = KNOWN.iter().position(|known| known == method);
    at.and_then(|at| WORDS.get(at)).copied().unwrap_or("_OTHER")
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

async fn answer_options(caller: &mut TcpStream, then: Then) -> Outcome {
    match (caller.write_all(answer::options(then).as_bytes()).await, then) {
        (Ok(()), Then::Stay) => Outcome::Again,
        (Ok(()), Then::Close) => Outcome::Close,
        (Err(_), _) => Outcome::Abort,
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

const TRACEPARENT: HeaderName = HeaderName::from_static(TraceContext::HEADER);

/// What vendors say to each other about a trace (W3C Trace Context, section 3.3).
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
