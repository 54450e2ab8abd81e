use std::fmt;

use aws_lc_rs::digest;
use http::{HeaderMap, header};
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use super::{AuthError, IdToken, known_good::Fingerprint};

/// What a request brings to show who sent it: exactly one thing.
///
/// A bearer token *and* a client certificate are refused: whichever won, a
/// request would sometimes act for somebody else than its sender thinks, and
/// the audit would name him. RFC 6750 section 3.1 calls it `invalid_request`
/// when a client "uses more than one method for including an access token".
///
/// An ID token never comes with a request: the web page gets it from the provider itself.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// The header `Authorization: Bearer …`: an API token or a JWT.
    Bearer(Bearer),
    /// A client certificate that TLS verified.
    Certificate(CertificateDer<'static>),
    /// The provider's word for somebody who signed in to the web page there.
    IdToken(IdToken),
}

impl Credentials {
    /// Finds them. `certificate` is the peer's of this TLS connection, whose
    /// verifier must be [`super::client_verifier`].
    ///
    /// # Errors
    /// [`AuthError::NoCredentials`], [`AuthError::TwoCredentials`],
    /// [`AuthError::Header`], [`AuthError::TooLong`].
    pub fn find(headers: &HeaderMap, certificate: Option<&CertificateDer<'_>>) -> Result<Self, AuthError> {
        let mut all = headers.get_all(header::AUTHORIZATION).iter();
        match (all.next(), all.next(), certificate) {
            (None, _, None) => Err(AuthError::NoCredentials),
            (None, _, Some(certificate)) => Ok(Self::Certificate(certificate.clone().into_owned())),
            (Some(value), None, None) => Bearer::read(value.as_bytes()).map(Self::Bearer),
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => Err(AuthError::TwoCredentials),
        }
    }

    /// What [`super::known_good::KnownGood`] knows them by.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let (kind, bytes): (&[u8], &[u8]) = match self {
            Self::Bearer(bearer) => (b"bearer", bearer.as_str().as_bytes()),
            Self::Certificate(certificate) => (b"certificate", certificate),
            Self::IdToken(token) => (b"id-token", token.as_str().as_bytes()),
        };
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(kind);
        context.update(bytes);
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(context.finish().as_ref());
        fingerprint
    }
}

/// The text of a bearer token. Never shown, wiped when dropped.
#[derive(Clone)]
pub struct Bearer(Zeroizing<String>);

impl Bearer {
    /// From a header's value. RFC 6750 section 2.1 and RFC 9110 section 11.4:
    /// the scheme in any letter case, spaces, and one `b64token`.
    fn read(value: &[u8]) -> Result<Self, AuthError> {
        let (scheme, rest) = value.split_at_checked(SCHEME.len()).ok_or(AuthError::Header)?;
        let token = rest.trim_ascii_start();
        let apart = rest.len() > token.len();
        if !scheme.eq_ignore_ascii_case(SCHEME) || !apart || token.is_empty() {
            return Err(AuthError::Header);
        }
        if token.len() > MAX_BEARER_BYTES {
            return Err(AuthError::TooLong { found: token.len() });
        }
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        if !token.iter().all(allowed) {
            return Err(AuthError::Header);
        }
        let text = std::str::from_utf8(token).map_err(|_| AuthError::Header)?;
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(…)")
    }
}

/// The longest bearer token that is read. JWTs have 1 to 2 KiB; those that list
/// two hundred groups, 10.
pub const MAX_BEARER_BYTES: usize = 12 * 1024;

const SCHEME: &[u8] = b"Bearer";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn find(values: &[&str], certificate: Option<&[u8]>) -> Result<Credentials, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let certificate = certificate.map(CertificateDer::from);
        Credentials::find(&headers, certificate.as_ref()).map_err(|error| error.code())
    }

    fn bearer(value: &str) -> Result<String, &'static str> {
        match find(&[value], None)? {
            Credentials::Bearer(bearer) => Ok(bearer.as_str().to_owned()),
            Credentials::Certificate(_) | Credentials::IdToken(_) => panic!("there is none"),
        }
    }

    #[test]
    fn one_bearer_token_or_one_certificate() {
        assert_eq!(bearer("Bearer abc.d-e_f"), Ok("abc.d-e_f".to_owned()));
        assert_eq!(bearer("bEARER   x"), Ok("x".to_owned()));
        assert!(matches!(find(&[], Some(b"c")), Ok(Credentials::Certificate(der)) if &*der == b"c"));
        assert_eq!(find(&[], None).unwrap_err(), "no-credentials");
    }

    #[test]
    fn two_of_anything_are_refused() {
        assert_eq!(find(&["Bearer a"], Some(b"c")).unwrap_err(), "two-credentials");
        assert_eq!(find(&["Bearer a", "Bearer a"], None).unwrap_err(), "two-credentials");
        assert_eq!(find(&["Basic a"], Some(b"c")).unwrap_err(), "two-credentials", "nor a useless one");
    }

    #[test]
    fn what_is_no_bearer_token_is_refused() {
        for bad in
            ["", "Bearer", "Bearer ", "Bearerx", "Basic YTpi", "Bearer a b", "Bearer a,b", "Bearer é", "B"]
        {
            assert_eq!(bearer(bad), Err("authorization-malformed"), "{bad:?}");
        }
        let longest = "x".repeat(MAX_BEARER_BYTES);
        assert_eq!(bearer(&format!("Bearer {longest}")), Ok(longest.clone()));
        assert_eq!(bearer(&format!("Bearer {longest}x")), Err("credentials-too-long"));
    }

    #[test]
    fn no_form_for_people_shows_the_token() {
        let shown = format!("{:?}", find(&["Bearer secret"], None).unwrap());
        assert_eq!(shown, "Bearer(Bearer(…))");
    }

    #[test]
    fn fingerprints_differ_by_kind() {
        let one = find(&["Bearer c"], None).unwrap().fingerprint();
        assert_ne!(one, find(&[], Some(b"c")).unwrap().fingerprint());
        assert_eq!(one, find(&["bearer  c"], None).unwrap().fingerprint());
    }
}
