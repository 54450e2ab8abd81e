use countersign_telemetry::TraceContext;

use super::refusal::Refusal;

/// The longest request head, in bytes.
pub(super) const MAX_HEAD: usize = 8 * 1024;

/// Where the head in `bytes` ends, its empty line included.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// What a CONNECT asks for.
#[derive(Debug)]
pub(super) struct Connect<'h> {
    /// Where to.
    pub(super) target: &'h str,
    /// The trace that the client says it is part of. Nothing is decided by it.
    pub(super) trace: Option<TraceContext>,
}

/// Reads a CONNECT whose whole head this is.
///
/// A body has no meaning here and two readers could disagree about where it
/// ends, so its announcement is refused (RFC 9112 section 11.2, request
/// smuggling; RFC 9110 section 9.3.6: "A CONNECT request message does not have content").
///
/// # Errors
/// [`Refusal::Method`], [`Refusal::Request`].
pub(super) fn connect(head: &[u8]) -> Result<Connect<'_>, Refusal> {
    if has_bare_line_end(head) {
        return Err(Refusal::Request("request head has a line that does not end in CR LF"));
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(end)) if end == head.len() => {}
        Ok(_) => return Err(Refusal::Request("request head is not well-formed")),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::Request("request has too many headers")),
        Err(_) => return Err(Refusal::Request("request head is not well-formed")),
    }
    if request.method != Some("CONNECT") {
        return Err(Refusal::Method);
    }
    if request.version != Some(1) {
        return Err(Refusal::Request("request is not HTTP/1.1"));
    }
    let mut hosts = 0;
    for header in &*request.headers {
        let is = |name| header.name.eq_ignore_ascii_case(name);
        if is("content-length") || is("transfer-encoding") {
            return Err(Refusal::Request("CONNECT has no body"));
        }
        hosts += usize::from(is("host"));
    }
    // RFC 9112 section 3.2: none and more than one are both an error.
    if hosts != 1 {
        return Err(Refusal::Request("request needs exactly one Host header"));
    }
    let target = request.path.ok_or(Refusal::Request("request has no target"))?;
    let traces =
        request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(TraceContext::HEADER));
    Ok(Connect { target, trace: TraceContext::of_headers(traces.map(|header| header.value)) })
}

/// httparse takes a lone LF for a line end, which RFC 9112 section 2.2 allows a
/// recipient; a proxy that reads a head otherwise than its client wrote it is how
/// requests are smuggled.
fn has_bare_line_end(head: &[u8]) -> bool {
    let before = [0].into_iter().chain(head.iter().copied());
    let lone_lf = before.zip(head).any(|(before, &byte)| byte == b'\n' && before != b'\r');
    let lone_cr = head.windows(2).any(|pair| matches!(pair, [b'\r', after] if *after != b'\n'));
    lone_lf || lone_cr
}

const MAX_HEADERS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_names_its_target() {
        let head = b"CONNECT kms.example:443 HTTP/1.1\r\nHost: kms.example:443\r\nUser-Agent: x\r\n\r\n";
        assert_eq!(end_of_head(&[&head[..], b"early"].concat()), Some(head.len()));
        let Connect { target, trace } = connect(head).unwrap();
        assert_eq!((target, trace), ("kms.example:443", None));
    }

    #[test]
    fn a_trace_is_read_and_a_bad_one_is_none() {
        const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = |headers: &str| {
            let head = format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n{headers}\r\n");
            connect(head.as_bytes()).unwrap().trace
        };
        assert_eq!(trace(&format!("TraceParent:  {GOOD} \r\n")), Some(GOOD.parse().unwrap()));
        for none in [
            String::new(),
            "traceparent: \r\n".to_owned(),
            "traceparent: 00-x\r\n".to_owned(),
            format!("traceparent: {GOOD}\r\ntraceparent: {GOOD}\r\n"),
            format!("traceparent: {}\r\n", GOOD.replace("00-", "ff-")),
        ] {
            assert_eq!(trace(&none), None, "{none}");
        }
    }

    #[test]
    fn what_could_smuggle_or_is_no_connect_is_refused() {
        for (head, why) in [
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\n", "CONNECT has no body"),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n", "CONNECT has no body"),
            (
                "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\ntransfer-encoding: chunked\r\n\r\n",
                "CONNECT has no body",
            ),
            ("CONNECT a:1 HTTP/1.1\r\n\r\n", "request needs exactly one Host header"),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "request needs exactly one Host header"),
            ("CONNECT a:1 HTTP/1.0\r\nHost: a\r\n\r\n", "request is not HTTP/1.1"),
            (
                "CONNECT a:1 HTTP/1.1\nHost: a\n\nX: y\r\n\r\n",
                "request head has a line that does not end in CR LF",
            ),
            ("CONNECT a:1 HTTP/1.1\nHost: a\r\n\r\n", "request head has a line that does not end in CR LF"),
            (
                "\nCONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
                "request head has a line that does not end in CR LF",
            ),
            (
                "CONNECT a:1 HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
                "request head has a line that does not end in CR LF",
            ),
            ("CONNECT a:1 HTTP/1.1\r\nHost : a\r\n\r\n", "request head is not well-formed"),
            ("CONNECT a:1\r\n\r\n", "request head is not well-formed"),
            ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "this port takes CONNECT only"),
        ] {
            assert_eq!(end_of_head(head.as_bytes()), Some(head.len()), "{head}");
            assert_eq!(connect(head.as_bytes()).unwrap_err().to_string(), why, "{head}");
        }
        let many = format!("CONNECT a:1 HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(33));
        let why = connect(many.as_bytes()).unwrap_err().to_string();
        assert_eq!(why, "request has too many headers");
    }
}
