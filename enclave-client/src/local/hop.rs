use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Version;

/// What a message says to this hop only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hop {
    /// `Connection: close`.
    pub(super) close: bool,
    /// The protocols of `Upgrade`, where `Connection` names it.
    pub(super) upgrade: Option<HeaderValue>,
}

/// Takes the fields off that are not to be sent on (RFC 9110 section 7.6.1): those
/// that `Connection` lists and those that are of one hop whether it lists them or not.
/// `Content-Length` goes too: whoever writes the message says anew where it ends.
pub(super) fn take(fields: &mut HeaderMap) -> Hop {
    let mut hop = Hop::default();
    let mut listed: Vec<HeaderName> = Vec::new();
    for name in [header::CONNECTION, PROXY_CONNECTION] {
        for value in fields.get_all(name) {
            for option in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                hop.close |= option.eq_ignore_ascii_case(b"close");
                listed.extend(HeaderName::from_bytes(option));
            }
        }
    }
    if listed.contains(&header::UPGRADE) {
        hop.upgrade = fields.get(header::UPGRADE).cloned();
    }
    for name in listed.iter().chain(&HOP_BY_HOP) {
        fields.remove(name);
    }
    hop
}

/// "A proxy MUST send an appropriate Via header field [...] in each message that it
/// forwards" (RFC 9110 section 7.6.3); appended to what is there.
pub(super) fn add_via(fields: &mut HeaderMap, received: Version) {
    fields.append(
        header::VIA,
        HeaderValue::from_static(match received {
            Version::Http10 => "1.0 countersign",
            Version::Http11 => "1.1 countersign",
        }),
    );
}

/// Not in any standard, and sent all the same.
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn what_is_of_one_hop_stays_there() {
        let mut fields = map(&[
            ("connection", "Close, X-Listed , upgrade"),
            ("proxy-connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic c2VjcmV0"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("upgrade", "websocket"),
            ("x-listed", "1"),
            ("x-kept", "2"),
        ]);
        let hop = take(&mut fields);
        assert_eq!(hop, Hop { close: true, upgrade: Some(HeaderValue::from_static("websocket")) });
        assert_eq!(fields, map(&[("x-kept", "2")]));
    }

    #[test]
    fn an_upgrade_that_connection_does_not_name_is_none() {
        let mut fields = map(&[("upgrade", "websocket")]);
        assert_eq!(take(&mut fields), Hop::default());
        assert!(fields.is_empty());
    }

    #[test]
    fn via_is_appended() {
        let mut fields = map(&[("via", "1.0 fred")]);
        add_via(&mut fields, Version::Http11);
        let via: Vec<_> = fields.get_all(header::VIA).iter().collect();
        assert_eq!(via, ["1.0 fred", "1.1 countersign"]);
    }
}
