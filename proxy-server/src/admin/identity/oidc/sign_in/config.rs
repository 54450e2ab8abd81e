use std::{fmt, str::FromStr};

use http::{Uri, uri::Scheme};
use zeroize::Zeroizing;

/// What the configuration says about signing in at the provider.
#[derive(Clone, Debug)]
pub struct SignInConfig {
    /// Who this proxy is to the provider. ID tokens are for it alone.
    pub client_id: String,
    /// With it the proxy shows the provider that it is that client; `None` is a public client.
    pub client_secret: Option<ClientSecret>,
    /// Where browsers find this proxy's page.
    pub public_url: PublicUrl,
    /// What is asked for, beside `openid`.
    pub scopes: Vec<String>,
    /// What the button calls the provider.
    pub name: String,
}

impl SignInConfig {
    /// Where the provider sends browsers back to: it must be registered there, with exactly this text.
    pub fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK}", self.public_url)
    }

    /// OpenID Connect Core 1.0 section 3.1.2.1: "OpenID Connect requests MUST contain the `openid` scope value."
    pub(super) fn scope(&self) -> String {
        let more = self.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid");
        std::iter::once("openid").chain(more).collect::<Vec<_>>().join(" ")
    }
}

/// A client's secret. Never shown, wiped when dropped.
#[derive(Clone)]
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// The longest, in bytes.
    pub const MAX: usize = 1024;

    /// From a file's text, without the space and the line's end around it.
    ///
    /// # Errors
    /// [`BadSignInConfig::Secret`].
    pub fn new(text: &str) -> Result<Self, BadSignInConfig> {
        let text = text.trim();
        // RFC 6749 appendix A.2: `client-secret = *VSCHAR`.
        let printable = |byte: u8| (0x20..=0x7E).contains(&byte);
        if text.is_empty() || text.len() > Self::MAX || !text.bytes().all(printable) {
            return Err(BadSignInConfig::Secret);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

/// `https://`, a host and perhaps a port: where browsers find the page. It is
/// told, never taken from a request: whoever could choose it would choose where
/// the provider sends codes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Box<str>);

impl PublicUrl {
    /// Host and port, as requests to it name them.
    pub fn authority(&self) -> &str {
        self.0.strip_prefix(HTTPS).unwrap_or_default()
    }
}

impl FromStr for PublicUrl {
    type Err = BadSignInConfig;

    fn from_str(text: &str) -> Result<Self, BadSignInConfig> {
        let bad = || BadSignInConfig::PublicUrl;
        let url: Uri = text.parse().map_err(|_| bad())?;
        let authority = url.authority().ok_or_else(bad)?;
        let alone = url.path_and_query().is_none_or(|rest| rest.as_str() == "/");
        if url.scheme() != Some(&Scheme::HTTPS) || !alone || text.contains(['@', '#']) {
            return Err(bad());
        }
        // RFC 6454 section 4: an origin has the host in small letters, and no default port.
        let authority = authority.as_str().to_ascii_lowercase();
        let authority = authority.strip_suffix(":443").unwrap_or(&authority);
        Ok(Self(format!("{HTTPS}{authority}").into()))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why something in the configuration is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadSignInConfig {
    /// No origin of a page over TLS.
    PublicUrl,
    /// The file of the client's secret holds something else. It is not repeated.
    Secret,
}

impl fmt::Display for BadSignInConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublicUrl => f.write_str("expected https://, a host and perhaps a port, without a path"),
            Self::Secret => {
                write!(f, "expected a file with a secret of 1 to {} printable characters", ClientSecret::MAX)
            }
        }
    }
}

impl std::error::Error for BadSignInConfig {}

const HTTPS: &str = "https://";

const CALLBACK: &str = "/ui/sign-in/callback";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin_over_tls() {
        for (text, origin) in [
            ("https://Proxy.Example", "https://proxy.example"),
            ("https://proxy.example:443/", "https://proxy.example"),
            ("https://[::1]:9443", "https://[::1]:9443"),
        ] {
            assert_eq!(text.parse::<PublicUrl>().unwrap().to_string(), origin);
        }
        assert_eq!("https://a.example:1".parse::<PublicUrl>().unwrap().authority(), "a.example:1");
        for bad in ["", "proxy.example", "http://proxy.example", "https://a/b", "https://a?b", "https://u@a"]
        {
            assert_eq!(bad.parse::<PublicUrl>(), Err(BadSignInConfig::PublicUrl), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = ClientSecret::new(" planted\n").unwrap();
        assert_eq!((secret.as_str(), format!("{secret:?}").as_str()), ("planted", "ClientSecret(…)"));
        for bad in ["", " \n", "a\tb", "é", &"x".repeat(1025)] {
            assert_eq!(ClientSecret::new(bad).unwrap_err(), BadSignInConfig::Secret);
        }
    }
}
