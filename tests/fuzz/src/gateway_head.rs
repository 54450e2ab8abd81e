//! The head of a request to the gateway, and whether the enclave's local proxy reads the same one likewise.

use countersign_enclave::local::{Head, MAX_HEAD, Request, parse};
use countersign_protocol::Destination;
use countersign_proxy::gateway::fuzzing::connect_target;

/// Any bytes as a head: what is accepted is one CONNECT in the plainest form, and no other reader could take it for more.
pub fn raw(bytes: &[u8]) {
    let target = connect_target(bytes);
    if let Some(target) = &target {
        let head = head_of(bytes).expect("what is accepted is whole");
        is_plain(head, target);
        assert_eq!(connect_target(head).as_ref(), Some(target), "read otherwise without what follows");
        let more = [head, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        assert_eq!(connect_target(&more).as_ref(), Some(target), "read otherwise with what follows");
        assert_eq!(connect_target(&head[..head.len() - 1]), None, "a head without its last byte");
    }
    agrees(bytes, target.as_deref());
}

/// `CONNECT target HTTP/1.1`, fields, an empty line; each line ends in CR LF and holds neither of both. One `Host`, and
/// nothing that announces a body.
fn is_plain(head: &[u8], target: &str) {
    // RFC 9112 section 2.2: one empty line before the request is ignored.
    let text = head.strip_prefix(b"\r\n").unwrap_or(head).strip_suffix(b"\r\n\r\n").expect("an empty line");
    let text = String::from_utf8_lossy(text);
    let mut lines = text.split("\r\n");
    assert_eq!(lines.next(), Some(format!("CONNECT {target} HTTP/1.1").as_str()));
    assert!(!target.is_empty() && !target.contains(char::is_whitespace), "{target:?}");
    let mut hosts = 0;
    for line in lines {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
        let (name, _) = line.split_once(':').expect("a field has a name");
        assert!(
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()),
            "a name that others may read otherwise: {name:?}"
        );
        let name = name.to_ascii_lowercase();
        assert!(!matches!(name.as_str(), "content-length" | "transfer-encoding"), "a body");
        hosts += usize::from(name == "host");
    }
    assert_eq!(hosts, 1, "Host fields");
}

/// The enclave's reader takes requests for URLs, HTTP/1.0, more fields and more empty lines at the start, and reads the target as a
/// destination. What lies inside of both readers' bounds is read by both, and likewise.
fn agrees(bytes: &[u8], target: Option<&str>) {
    let local = parse(bytes);
    match (head_of(bytes), target) {
        (Some(head), Some(target)) if head.len() <= MAX_HEAD => match target.parse::<Destination>() {
            Ok(destination) => {
                let local = local.expect("the gateway accepts it").expect("the gateway found its end");
                assert_eq!(local.head_len, head.len());
                let Request::Connect { destination: read, .. } = local.request else { panic!("no CONNECT") };
                assert_eq!(read, destination);
            }
            Err(_) => assert!(local.is_err(), "a target that is no destination"),
        },
        (Some(head), None) => {
            let fields = head.windows(2).filter(|pair| *pair == b"\r\n").count() - 2;
            let applies = !head.starts_with(b"\r\n") && fields <= FIELDS && head.ends_with(b"\r\n\r\n");
            let version = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
            if applies && version.ends_with(b" HTTP/1.1") {
                let tunnel = matches!(local, Ok(Some(Head { request: Request::Connect { .. }, .. })));
                assert!(!tunnel, "the enclave's reader accepts it");
            }
        }
        _ => {}
    }
}

/// What stands up to the first empty line, that included.
fn head_of(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(&bytes[..end + 4])
}

/// As many fields as the gateway takes.
const FIELDS: usize = 32;
