//! The head of a request to the enclave's local proxy.

use countersign_enclave::local::{MAX_HEAD, Request, parse};
use countersign_protocol::Destination;

/// Any bytes as a head: what is accepted is whole, ends where an empty line does, and is not read otherwise when more follows
/// or less is there.
pub fn raw(bytes: &[u8]) {
    let found = match parse(bytes) {
        Ok(Some(found)) => found,
        Ok(None) => {
            assert!(bytes.len() < MAX_HEAD, "a head that never ends");
            return;
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
            return;
        }
    };
    assert!(found.head_len <= MAX_HEAD && found.head_len <= bytes.len());
    let head = &bytes[..found.head_len];
    // RFC 9112 section 2.2: empty lines before the request line are ignored. After it, the first one ends the head.
    let mut lines = head;
    while let Some(rest) = lines.strip_prefix(b"\r\n") {
        lines = rest;
    }
    let empty_line = lines.windows(4).position(|window| window == b"\r\n\r\n");
    assert_eq!(empty_line.map(|at| at + 4), Some(lines.len()), "an empty line inside the head");
    let feeds = head.iter().filter(|byte| **byte == b'\n').count();
    let ends = head.windows(2).filter(|pair| *pair == b"\r\n").count();
    assert_eq!(
        (feeds, head.iter().filter(|byte| **byte == b'\r').count()),
        (ends, ends),
        "a CR or LF that stands alone"
    );
    assert_eq!(parse(head).as_ref(), Ok(&Some(found.clone())), "read otherwise without what follows");
    assert_eq!(
        parse(&[head, b"\x16\x03\x01GET / HTTP/1.1\r\n\r\n"].concat()),
        Ok(Some(found.clone())),
        "read otherwise with what follows"
    );
    assert_eq!(parse(&head[..head.len() - 1]), Ok(None), "a head without its last byte");
    let destination = match &found.request {
        Request::Connect { destination, trace } => {
            // Nothing of it but the three parts that were understood goes any further.
            let again = trace.map(|trace| trace.to_string().parse());
            assert_eq!(again.transpose().expect("what is written is read"), *trace);
            destination
        }
        Request::Forward(request) => {
            assert!(request.target.path == "*" || request.target.path.as_str().starts_with('/'));
            let host = request.target.host();
            let with_port = |host: &str| format!("{host}:80").parse::<Destination>();
            let read = host.parse::<Destination>().or_else(|_| with_port(&host));
            assert_eq!(read.as_ref(), Ok(&request.target.destination), "another Host than the target");
            &request.target.destination
        }
    };
    assert_eq!(destination.to_string().parse().as_ref(), Ok(destination));
}
