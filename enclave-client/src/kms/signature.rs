use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_sigv4::{
    http_request::{
        PercentEncodingMode, SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
    },
    sign::v4,
};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, HOST, USER_AGENT},
};
use time::{PrimitiveDateTime, macros::format_description};

use super::{Credentials, Region, RegionError};

/// Who signed a request, for which region, over which headers: `Authorization: AWS4-HMAC-SHA256 …`
/// (AWS IAM User Guide, "Create a signed AWS API request").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    access_key_id: String,
    day: String,
    region: Region,
    signed_headers: Vec<String>,
    signature: String,
}

impl Authorization {
    /// Reads the header of a request to KMS.
    ///
    /// # Errors
    /// [`AuthorizationError`].
    pub fn read(headers: &HeaderMap) -> Result<Self, AuthorizationError> {
        let text = headers.get(AUTHORIZATION).ok_or(AuthorizationError::Missing)?;
        let malformed = |part| AuthorizationError::Malformed { part };
        let text = text.to_str().map_err(|_| malformed("header"))?;
        let parts = text.strip_prefix("AWS4-HMAC-SHA256 ").ok_or(AuthorizationError::Algorithm)?;
        let (mut credential, mut signed, mut signature) = (None, None, None);
        for part in parts.split(',') {
            match part.trim().split_once('=') {
                Some(("Credential", value)) if credential.is_none() => credential = Some(value),
                Some(("SignedHeaders", value)) if signed.is_none() => signed = Some(value),
                Some(("Signature", value)) if signature.is_none() => signature = Some(value),
                _ => return Err(malformed("list")),
            }
        }
        let scope: Vec<_> = credential.ok_or(malformed("Credential"))?.rsplitn(5, '/').collect();
        let ["aws4_request", service, region, day, access_key_id] = scope[..] else {
            return Err(malformed("Credential"));
        };
        if service != SERVICE {
            return Err(AuthorizationError::Service);
        }
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            day: day.to_owned(),
            region: region.parse().map_err(AuthorizationError::Region)?,
            signed_headers: signed.ok_or(malformed("SignedHeaders"))?.split(';').map(str::to_owned).collect(),
            signature: signature.ok_or(malformed("Signature"))?.to_owned(),
        })
    }

    /// The region that the caller signed for.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Whose signature it says it is.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// Checks that the request was signed with these credentials, a short time ago, over its host and its
    /// operation.
    ///
    /// # Errors
    /// [`AuthorizationError`].
    pub fn check(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        credentials: &Credentials,
        now: SystemTime,
    ) -> Result<(), AuthorizationError> {
        if self.access_key_id != credentials.access_key_id() {
            return Err(AuthorizationError::AccessKey);
        }
        let at =
            signed_at(headers).filter(|_| stamp(headers).is_some_and(|text| text.starts_with(&self.day)));
        let at = at.ok_or(AuthorizationError::Date)?;
        if at.max(now).duration_since(at.min(now)).unwrap_or_default() > SKEW {
            return Err(AuthorizationError::Date);
        }
        for required in [HOST.as_str(), TARGET, DATE] {
            if !self.signed_headers.iter().any(|name| name == required) {
                return Err(AuthorizationError::Unsigned { header: required });
            }
        }
        let mut covered = Vec::new();
        for name in self.signed_headers.iter().filter(|name| *name != DATE) {
            for value in headers.get_all(name.as_str()) {
                covered.push((name.as_str(), value.to_str().map_err(|_| AuthorizationError::Mismatch)?));
            }
        }
        // The token is one of the signed headers, if at all: added to the credentials it would be signed twice.
        let bare =
            Credentials::new(self.access_key_id.clone(), credentials.secret_access_key().to_owned(), None);
        let (_, signature) = signed(&bare, &self.region, at, "http://localhost/", covered, body)
            .ok_or(AuthorizationError::Mismatch)?;
        verify_slices_are_equal(signature.as_bytes(), self.signature.as_bytes())
            .map_err(|_| AuthorizationError::Mismatch)
    }
}

/// Signs a request to KMS anew: its `Host` is another one now, so the caller's signature cannot stay.
/// `None` when a header cannot be signed.
pub(super) fn sign_for_kms(
    headers: &mut HeaderMap,
    authority: &str,
    body: &[u8],
    credentials: &Credentials,
    region: &Region,
    now: SystemTime,
) -> Option<()> {
    headers.insert(HOST, HeaderValue::from_str(authority).ok()?);
    // No SDK signs the user agent: proxies change it, and botocore's checker leaves it out.
    let covered: Option<Vec<_>> = headers
        .iter()
        .filter(|(name, _)| **name != USER_AGENT)
        .map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let (added, _) = signed(credentials, region, now, &format!("https://{authority}/"), covered?, body)?;
    for (name, value) in added {
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
    Some(())
}

type Added = Vec<(&'static str, String)>;

/// The headers that a signature adds, and the signature.
fn signed(
    credentials: &Credentials,
    region: &Region,
    at: SystemTime,
    uri: &str,
    covered: Vec<(&str, &str)>,
    body: &[u8],
) -> Option<(Added, String)> {
    let identity = aws_credential_types::Credentials::new(
        credentials.access_key_id(),
        credentials.secret_access_key(),
        credentials.session_token().map(str::to_owned),
        None,
        "countersign",
    )
    .into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    // What is covered was chosen by whoever calls.
    settings.excluded_headers = None;
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region.as_str())
        .name(SERVICE)
        .time(at)
        .settings(settings)
        .build()
        .ok()?;
    let request = SignableRequest::new("POST", uri, covered.into_iter(), SignableBody::Bytes(body)).ok()?;
    let (instructions, signature) = sign(request, &SigningParams::V4(parameters)).ok()?.into_parts();
    let added = instructions.into_parts().0;
    Some((added.iter().map(|header| (header.name(), header.value().to_owned())).collect(), signature))
}

fn stamp(headers: &HeaderMap) -> Option<&str> {
    headers.get(DATE)?.to_str().ok()
}

/// `20250101T000000Z`
fn signed_at(headers: &HeaderMap) -> Option<SystemTime> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let at = PrimitiveDateTime::parse(stamp(headers)?, &format).ok()?.assume_utc().unix_timestamp();
    UNIX_EPOCH.checked_add(Duration::from_secs(at.try_into().ok()?))
}

/// Why a request is not taken for its caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizationError {
    /// No `Authorization` header: the region is not known either.
    Missing,
    /// Something else than `AWS4-HMAC-SHA256`.
    Algorithm,
    /// A part is absent, comes twice, or is not as it must be.
    Malformed {
        /// Which.
        part: &'static str,
    },
    /// Signed for another service.
    Service,
    /// The scope names no region.
    Region(RegionError),
    /// Signed with another access key than this endpoint's.
    AccessKey,
    /// No `X-Amz-Date`, another day than the scope's, or over five minutes away.
    Date,
    /// A header that must be signed is not.
    Unsigned {
        /// Which.
        header: &'static str,
    },
    /// The signature is another one.
    Mismatch,
}

impl AuthorizationError {
    /// The code that AWS has for it.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Algorithm | Self::Malformed { .. } => "IncompleteSignatureException",
            Self::AccessKey => "UnrecognizedClientException",
            Self::Service | Self::Region(_) | Self::Date | Self::Unsigned { .. } | Self::Mismatch => {
                "InvalidSignatureException"
            }
        }
    }
}

impl fmt::Display for AuthorizationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the request is not signed, so its region is not known"),
            Self::Algorithm => f.write_str("the signature is not AWS4-HMAC-SHA256"),
            Self::Malformed { part } => write!(f, "the Authorization header's {part} cannot be read"),
            Self::Service => f.write_str("the request is signed for another service than kms"),
            Self::Region(why) => write!(f, "the credential scope: {why}"),
            Self::AccessKey => {
                f.write_str("the request is signed with another access key than this endpoint's")
            }
            Self::Date => write!(f, "X-Amz-Date is absent or over {} minutes away", SKEW.as_secs() / 60),
            Self::Unsigned { header } => write!(f, "the header {header} is not signed"),
            Self::Mismatch => f.write_str("the signature does not match the request"),
        }
    }
}

impl std::error::Error for AuthorizationError {}

/// How far apart the clocks of signer and checker may be; AWS's own bound for most services.
const SKEW: Duration = Duration::from_secs(300);

const SERVICE: &str = "kms";
const DATE: &str = "x-amz-date";
const TARGET: &str = "x-amz-target";

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials::new("AKIDEXAMPLE".into(), "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(), None)
    }

    fn request(credentials: &Credentials) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TARGET, HeaderValue::from_static("TrentService.Decrypt"));
        sign_for_kms(&mut headers, "127.0.0.1:9999", b"{}", credentials, &region(), noon()).unwrap();
        headers
    }

    fn region() -> Region {
        "eu-west-1".parse().unwrap()
    }

    fn noon() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_755_000_000)
    }

    fn check(headers: &HeaderMap, body: &[u8], now: SystemTime) -> Result<(), AuthorizationError> {
        Authorization::read(headers).unwrap().check(headers, body, &credentials(), now)
    }

    #[test]
    fn a_signature_holds_for_its_request_only() {
        let headers = request(&credentials());
        assert_eq!(Authorization::read(&headers).unwrap().region(), &region());
        assert_eq!(check(&headers, b"{}", noon()), Ok(()));
        assert_eq!(check(&headers, b"{ }", noon()), Err(AuthorizationError::Mismatch));
        assert_eq!(check(&headers, b"{}", noon() + SKEW), Ok(()));
        let late = noon() + SKEW + Duration::from_secs(1);
        assert_eq!(check(&headers, b"{}", late), Err(AuthorizationError::Date));
        let mut other = headers.clone();
        other.insert(TARGET, HeaderValue::from_static("TrentService.Encrypt"));
        assert_eq!(check(&other, b"{}", noon()), Err(AuthorizationError::Mismatch));
    }

    #[test]
    fn another_key_or_secret_is_found_out() {
        let other = Credentials::new("AKIDEXAMPLE".into(), "guess".into(), None);
        assert_eq!(check(&request(&other), b"{}", noon()), Err(AuthorizationError::Mismatch));
        let other = Credentials::new("AKIDOTHER".into(), "guess".into(), None);
        assert_eq!(check(&request(&other), b"{}", noon()), Err(AuthorizationError::AccessKey));
    }

    #[test]
    fn a_token_is_signed_along() {
        let temporary = Credentials::new(
            "AKIDEXAMPLE".into(),
            credentials().secret_access_key().into(),
            Some("t".into()),
        );
        let mut headers = request(&temporary);
        assert_eq!(headers["x-amz-security-token"], "t");
        assert_eq!(check(&headers, b"{}", noon()), Ok(()));
        headers.insert("x-amz-security-token", HeaderValue::from_static("u"));
        assert_eq!(check(&headers, b"{}", noon()), Err(AuthorizationError::Mismatch));
    }

    #[test]
    fn the_operation_must_be_signed() {
        let mut headers = HeaderMap::new();
        sign_for_kms(&mut headers, "localhost", b"", &credentials(), &region(), noon()).unwrap();
        headers.insert(TARGET, HeaderValue::from_static("TrentService.Decrypt"));
        assert_eq!(check(&headers, b"", noon()), Err(AuthorizationError::Unsigned { header: TARGET }));
    }

    #[test]
    fn a_header_that_is_not_read_says_why() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(text).unwrap());
            Authorization::read(&headers).unwrap_err()
        };
        let malformed = |part| AuthorizationError::Malformed { part };
        assert_eq!(Authorization::read(&HeaderMap::new()), Err(AuthorizationError::Missing));
        assert_eq!(read("Basic eDp5"), AuthorizationError::Algorithm);
        assert_eq!(read("AWS4-HMAC-SHA256 Credential=a/b/c, Signature=0"), malformed("Credential"));
        let scope = |scope: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=A/20250812/{scope}/aws4_request, SignedHeaders=host, Signature=0"
            )
        };
        assert_eq!(read(&scope("eu-west-1/s3")), AuthorizationError::Service);
        assert_eq!(read(&scope("evil.example/kms")), malformed_region());
        assert_eq!(read("AWS4-HMAC-SHA256 Signature=0, Signature=0"), malformed("list"));
    }

    fn malformed_region() -> AuthorizationError {
        AuthorizationError::Region("evil.example".parse::<Region>().unwrap_err())
    }
}
