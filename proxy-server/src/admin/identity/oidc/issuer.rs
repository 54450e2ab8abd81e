use std::{fmt, net::IpAddr, str::FromStr};

use http::{Uri, uri::Scheme};

/// The URL that names an OpenID provider, in its one spelling: tokens and the
/// discovery document must have exactly this text.
///
/// OpenID Connect Discovery 1.0 section 3: "URL using the `https` scheme with
/// no query or fragment components". Plain `http` is for providers on a
/// loopback *address*, in development: a name could resolve to anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    text: Box<str>,
    transport: Transport,
}

/// How the provider may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// Over TLS only.
    Https,
    /// The issuer is on a loopback address: over TLS, or to a loopback address without.
    Loopback,
}

impl Issuer {
    /// The longest, in bytes.
    pub const MAX: usize = 512;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    /// Discovery 1.0 section 4.1: "any terminating `/` MUST be removed before
    /// appending `/.well-known/openid-configuration`".
    pub(super) fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.text.trim_end_matches('/'))
    }
}

impl Transport {
    /// Whether this URL may be asked for keys.
    pub(super) fn allows(self, url: &Uri) -> bool {
        let Some(host) = url.host() else { return false };
        match (self, url.scheme()) {
            (_, Some(scheme)) if *scheme == Scheme::HTTPS => true,
            (Self::Loopback, Some(scheme)) if *scheme == Scheme::HTTP => is_loopback(host),
            _ => false,
        }
    }
}

impl FromStr for Issuer {
    type Err = BadIssuer;

    fn from_str(text: &str) -> Result<Self, BadIssuer> {
        if text.len() > Self::MAX || text.contains(['?', '#', '@']) {
            return Err(BadIssuer::Form);
        }
        let url: Uri = text.parse().map_err(|_| BadIssuer::Form)?;
        let host = url.host().filter(|host| !host.is_empty()).ok_or(BadIssuer::Form)?;
        let transport = match url.scheme_str() {
            Some("https") => Transport::Https,
            Some("http") if is_loopback(host) => Transport::Loopback,
            Some("http") => return Err(BadIssuer::NotHttps),
            _ => return Err(BadIssuer::Form),
        };
        Ok(Self { text: text.into(), transport })
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Text that names no provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadIssuer {
    /// It is no URL of scheme, host and path alone.
    Form,
    /// It is plain `http` to something that is no loopback address.
    NotHttps,
}

impl fmt::Display for BadIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("an issuer is an https URL without user, query and fragment"),
            Self::NotHttps => {
                f.write_str("an issuer is an https URL; http is for loopback addresses (127.0.0.1, [::1])")
            }
        }
    }
}

impl std::error::Error for BadIssuer {}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_https_or_on_a_loopback_address() {
        let issuer = |text: &str| text.parse::<Issuer>();
        for good in [
            "https://id.example",
            "https://id.example:8443/realms/a/",
            "http://127.0.0.1:1",
            "http://[::1]:1",
        ] {
            assert_eq!(issuer(good).unwrap().as_str(), good);
        }
        for plain in
            ["http://id.example", "http://localhost:1", "http://10.0.0.1", "http://127.0.0.1.example"]
        {
            assert_eq!(issuer(plain), Err(BadIssuer::NotHttps), "{plain}");
        }
        let long = format!("https://id.example/{}", "x".repeat(512));
        let bad = [
            "",
            "id.example",
            "/x",
            "ftp://a",
            "https://",
            "https://a?b",
            "https://a#b",
            "https://u@a",
            &long,
        ];
        for bad in bad {
            assert_eq!(issuer(bad), Err(BadIssuer::Form), "{bad}");
        }
    }

    #[test]
    fn discovery_lies_below_the_issuer() {
        let discovery = |text: &str| text.parse::<Issuer>().unwrap().discovery();
        assert_eq!(discovery("https://a/b/"), "https://a/b/.well-known/openid-configuration");
        assert_eq!(discovery("https://a"), "https://a/.well-known/openid-configuration");
    }

    #[test]
    fn keys_never_come_over_plain_http_from_elsewhere() {
        let allows = |transport: Transport, url: &'static str| transport.allows(&Uri::from_static(url));
        assert!(allows(Transport::Https, "https://other.example/jwks"));
        assert!(!allows(Transport::Https, "http://127.0.0.1/jwks"));
        assert!(allows(Transport::Loopback, "http://127.0.0.1:9/jwks"));
        assert!(!allows(Transport::Loopback, "http://169.254.169.254/jwks"));
        assert!(!allows(Transport::Loopback, "ftp://127.0.0.1/jwks"));
        assert!(!allows(Transport::Loopback, "/jwks"));
    }
}
