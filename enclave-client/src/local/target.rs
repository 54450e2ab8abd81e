use std::fmt;

use countersign_protocol::{Destination, DestinationError};
use http::{Method, uri::PathAndQuery};

/// Where a request in absolute form goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Who answers it.
    pub destination: Destination,
    /// What is asked of them.
    pub path: PathAndQuery,
}

impl Forward {
    /// The `Host` field that belongs to the target: "a proxy that forwards such a
    /// request MUST generate a new Host field value based on the received
    /// request-target rather than forward the received Host field value" (RFC 9112
    /// section 3.2.2).
    pub fn host(&self) -> String {
        match self.destination.port() {
            HTTP_PORT => self.destination.host().to_string(),
            _ => self.destination.to_string(),
        }
    }
}

/// Reads `http://host[:port][/path][?query]`.
///
/// # Errors
/// [`TargetError`].
pub(super) fn parse(method: &Method, target: &str) -> Result<Forward, TargetError> {
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err(TargetError::NotAbsolute);
    };
    if !scheme.eq_ignore_ascii_case("http") {
        let scheme = scheme.chars().take(MAX_SHOWN).collect();
        return Err(TargetError::Scheme(scheme));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // RFC 9110 section 4.2.4: userinfo is an error, "likely being used to obscure the authority".
    if authority.contains('@') {
        return Err(TargetError::UserInfo);
    }
    if path.contains('#') {
        return Err(TargetError::Fragment);
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let destination = if has_port { authority.parse() } else { format!("{authority}:{HTTP_PORT}").parse() };
    let path = match path {
        // RFC 9112 section 3.2.4: for the server as a whole.
        "" if method == Method::OPTIONS => Ok(PathAndQuery::from_static("*")),
        "" => Ok(PathAndQuery::from_static("/")),
        query if query.starts_with('?') => PathAndQuery::try_from(format!("/{query}")),
        path => PathAndQuery::try_from(path),
    };
    Ok(Forward {
        destination: destination.map_err(TargetError::Authority)?,
        path: path.map_err(|_| TargetError::Path)?,
    })
}

/// RFC 9110 section 4.2.1.
const HTTP_PORT: u16 = 80;

const MAX_SHOWN: usize = 16;

/// Why a target is no `http://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// `GET /path`: this is no server.
    NotAbsolute,
    /// Another scheme.
    Scheme(String),
    /// `user@` before the host.
    UserInfo,
    /// `#` and what follows, which is the caller's own business.
    Fragment,
    /// No host, or no port where one must be.
    Authority(DestinationError),
    /// A byte that no path has.
    Path,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAbsolute => f.write_str(
                "this is a proxy: ask for a whole URL (GET http://host/path), or for a tunnel (CONNECT host:port)",
            ),
            Self::Scheme(scheme) if scheme.eq_ignore_ascii_case("https") => f.write_str(
                "TLS is the caller's: ask for a tunnel (CONNECT host:443) and speak https through it, as programs do that take this proxy for https_proxy",
            ),
            Self::Scheme(scheme) => {
                write!(f, "{}:// is not spoken here: http:// is, and anything through CONNECT", scheme.escape_default())
            }
            Self::UserInfo => f.write_str("the URL has a user name before its host"),
            Self::Fragment => f.write_str("the URL has a fragment"),
            Self::Authority(error) => write!(f, "the URL's host: {error}"),
            Self::Path => f.write_str("the URL's path has a byte that must be percent-encoded"),
        }
    }
}

impl std::error::Error for TargetError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_destination_and_a_path() {
        for (url, destination, path, host) in [
            ("http://a.example", "a.example:80", "/", "a.example"),
            ("HTTP://A.Example./", "a.example:80", "/", "a.example"),
            ("http://a.example:8080/x/../y", "a.example:8080", "/x/../y", "a.example:8080"),
            ("http://a.example?q=http://b.example/", "a.example:80", "/?q=http://b.example/", "a.example"),
            ("http://[::1]/", "[::1]:80", "/", "[::1]"),
            ("http://[::1]:81/", "[::1]:81", "/", "[::1]:81"),
            ("http://0x7f000001/", "127.0.0.1:80", "/", "127.0.0.1"),
        ] {
            let forward = parse(&Method::GET, url).unwrap();
            assert_eq!(forward.destination, destination.parse().unwrap(), "{url}");
            assert_eq!((forward.path.as_str(), &*forward.host()), (path, host), "{url}");
        }
        assert_eq!(parse(&Method::OPTIONS, "http://a.example").unwrap().path, "*");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (url, error) in [
            ("/path", TargetError::NotAbsolute),
            ("*", TargetError::NotAbsolute),
            ("a.example:80", TargetError::NotAbsolute),
            ("https://a.example/", TargetError::Scheme("https".to_owned())),
            ("ftp://a.example/", TargetError::Scheme("ftp".to_owned())),
            ("http://good.example@evil.example/", TargetError::UserInfo),
            ("http://user:secret@a.example/", TargetError::UserInfo),
            ("http://a.example/#http://b.example", TargetError::Fragment),
            ("http://a.example#@b.example/", TargetError::Fragment),
            ("http:///path", TargetError::Authority(DestinationError::BadName)),
            ("http://a.example:/", TargetError::Authority(DestinationError::BadPort)),
            ("http://a.example:0/", TargetError::Authority(DestinationError::BadPort)),
            ("http://a.example:+80/", TargetError::Authority(DestinationError::BadPort)),
            ("http://a.example\\b.example/", TargetError::Authority(DestinationError::BadName)),
            ("http://a%2eexample/", TargetError::Authority(DestinationError::BadName)),
            ("http://http://a.example/", TargetError::Authority(DestinationError::BadPort)),
            ("http://::1/", TargetError::Authority(DestinationError::UnbracketedIpv6)),
        ] {
            assert_eq!(parse(&Method::GET, url), Err(error), "{url}");
        }
    }
}
