use std::{fmt, str::FromStr};

use super::TokenId;

/// Who somebody is, as the audit and the author check write it:
/// `token:<id>`, `oidc:<sub>`, `cert:<kind>:<name>` or `local:<user>`.
///
/// It has no spaces, no control characters and nothing outside ASCII: foreign
/// names are percent-encoded (RFC 3986 section 2.1), so that none can pretend
/// to be two lines of a log, or to be somebody who only looks the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(Box<str>);

impl Subject {
    /// The longest, in bytes: an OpenID `sub` has up to 255 ASCII characters,
    /// each of which may need three.
    pub const MAX: usize = 800;

    /// Whoever holds an API token.
    pub(super) fn token(id: &TokenId) -> Self {
        Self(format!("token:{id}").into())
    }

    /// The `sub` of the one configured OpenID provider.
    pub(super) fn oidc(sub: &str) -> Self {
        Self::encoded("oidc:", sub)
    }

    /// A name in a client certificate; `kind` is `uri`, `dns` or `cn`.
    pub(super) fn certificate(kind: &str, name: &str) -> Self {
        Self::encoded(&format!("cert:{kind}:"), name)
    }

    /// Whoever runs a command on the machine itself.
    pub fn local(user: &str) -> Self {
        Self::encoded("local:", user)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn encoded(prefix: &str, name: &str) -> Self {
        let mut text = prefix.to_owned();
        for byte in name.bytes() {
            if byte.is_ascii_graphic() && byte != b'%' {
                text.push(char::from(byte));
            } else {
                text.push_str(&format!("%{byte:02X}"));
            }
        }
        Self(text.into())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// From the store's text.
impl FromStr for Subject {
    type Err = BadSubject;

    fn from_str(text: &str) -> Result<Self, BadSubject> {
        let kinds = ["token:", "oidc:", "cert:", "local:"];
        let named = kinds.iter().any(|kind| text.strip_prefix(kind).is_some_and(|rest| !rest.is_empty()));
        let fits = text.len() <= Self::MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
        if named && fits { Ok(Self(text.into())) } else { Err(BadSubject) }
    }
}

/// Text that names nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSubject;

impl fmt::Display for BadSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected token:, oidc:, cert: or local: and a name without spaces")
    }
}

impl std::error::Error for BadSubject {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_cannot_break_a_line_or_look_like_another() {
        assert_eq!(Subject::oidc("a\nlocal:root").as_str(), "oidc:a%0Alocal:root");
        assert_eq!(Subject::oidc("a b%").as_str(), "oidc:a%20b%25");
        assert_eq!(Subject::oidc("а").as_str(), "oidc:%D0%B0", "a Cyrillic letter");
        let longest = Subject::oidc(&"\u{1}".repeat(255));
        assert_eq!(longest.as_str().parse(), Ok(longest));
    }

    #[test]
    fn the_stores_text_has_a_kind_and_a_name() {
        for good in ["token:0011223344556677", "oidc:x", "cert:uri:spiffe://a/b", "local:root"] {
            assert_eq!(good.parse::<Subject>().unwrap().as_str(), good);
        }
        for bad in ["", "oidc:", "x", "other:x", "oidc:a b", "oidc:\n", &format!("oidc:{}", "x".repeat(800))]
        {
            assert_eq!(bad.parse::<Subject>(), Err(BadSubject), "{bad:?}");
        }
    }
}
