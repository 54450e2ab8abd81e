use std::fmt;

use http::{
    Uri,
    uri::{PathAndQuery, Scheme},
};

use super::error::BadSetting;
use crate::Signal;

/// Where the collector listens: `http://host:4318`, `https://host/path`. Signals go to
/// `/v1/traces`, `/v1/metrics` and `/v1/logs` below it.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    security: Security,
    host: String,
    port: u16,
    /// As the `Host` header says it.
    authority: String,
    /// Without a slash at its end.
    path: String,
}

/// What is between here and the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Nothing: whoever carries it can read it, headers included.
    Plain,
    /// TLS, with the collector's certificate checked.
    Tls,
}

impl Endpoint {
    /// Reads an address.
    ///
    /// # Errors
    /// [`BadSetting::Endpoint`] for anything but `http://` or `https://`, a host, and perhaps
    /// a port and a path.
    pub fn parse(text: &str) -> Result<Self, BadSetting> {
        let bad = |why| BadSetting::Endpoint { why };
        let uri: Uri = text.parse().map_err(|_| bad("not a URL"))?;
        let security = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => Security::Plain,
            Some(scheme) if *scheme == Scheme::HTTPS => Security::Tls,
            _ => return Err(bad("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or(bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("a name and password belong into a header"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(bad("it has a query or a fragment"));
        }
        let behind = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        let port = match (authority.port(), security) {
            (Some(port), _) => port.as_u16(),
            (None, _) if !behind.is_empty() => return Err(bad("the port is none from 1 to 65535")),
            (None, Security::Plain) => 80,
            (None, Security::Tls) => 443,
        };
        Ok(Self {
            security,
            host: host.to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 80 or 443 where none is said.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What is between here and there.
    pub fn security(&self) -> Security {
        self.security
    }

    pub(in crate::otlp) fn authority(&self) -> &str {
        &self.authority
    }

    pub(in crate::otlp) fn path(&self, signal: Signal) -> Result<PathAndQuery, http::uri::InvalidUri> {
        format!("{}/v1/{}", self.path, signal.as_str()).parse()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.security {
            Security::Plain => "http",
            Security::Tls => "https",
        };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_collectors() {
        for (text, host, port, security, traces) in [
            ("http://localhost:4318", "localhost", 4318, Security::Plain, "/v1/traces"),
            ("http://localhost:4318/", "localhost", 4318, Security::Plain, "/v1/traces"),
            ("https://otlp.example/a/b/", "otlp.example", 443, Security::Tls, "/a/b/v1/traces"),
            ("http://[::1]", "::1", 80, Security::Plain, "/v1/traces"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((endpoint.host(), endpoint.port(), endpoint.security()), (host, port, security));
            assert_eq!(endpoint.path(Signal::Traces).unwrap(), traces);
        }
        for (text, why) in [
            ("localhost:4318", "it begins with neither http:// nor https://"),
            ("/v1/traces", "it begins with neither http:// nor https://"),
            ("grpc://localhost:4317", "it begins with neither http:// nor https://"),
            ("", "not a URL"),
            ("http://", "not a URL"),
            ("http://a b", "not a URL"),
            ("http://user:secret@host", "a name and password belong into a header"),
            ("http://host/?key=secret", "it has a query or a fragment"),
            ("http://host/#x", "it has a query or a fragment"),
            ("http://host:", "the port is none from 1 to 65535"),
            ("http://host:99999", "the port is none from 1 to 65535"),
        ] {
            assert_eq!(Endpoint::parse(text), Err(BadSetting::Endpoint { why }), "{text}");
        }
    }
}
