use serde_json::{Map, Value};

use super::{JwtRefused, OidcConfig, WorkloadsFrom, jwt::shortened};
use crate::{
    admin::identity::{Principal, Scope, Subject, scope::EVERYTHING},
    store::UnixMs,
};

/// Whether the token is the provider's, for `audience`, and of now.
pub(super) fn check(
    claims: &Map<String, Value>,
    config: &OidcConfig,
    audience: &str,
    now: UnixMs,
) -> Result<(), JwtRefused> {
    let found = text(claims, "iss")?;
    if found != config.issuer.as_str() {
        return Err(JwtRefused::Issuer { expected: config.issuer.to_string(), found: shortened(found) });
    }
    check_audience(claims, audience)?;
    check_time(claims, now)
}

/// Who checked claims say this is, and what that means here.
pub(super) fn principal(claims: &Map<String, Value>, config: &OidcConfig) -> Result<Principal, JwtRefused> {
    let sub = text(claims, "sub")?;
    // OpenID Connect Core 1.0 section 2: "It MUST NOT exceed 255 ASCII characters in length."
    if sub.is_empty() || sub.len() > 255 {
        return Err(JwtRefused::BadClaim { name: "sub".to_owned() });
    }
    let words = config.roles_claim.find(claims).map_or(Ok(Vec::new()), |value| {
        words(value).ok_or_else(|| JwtRefused::BadClaim { name: config.roles_claim.to_string() })
    })?;
    let roles = config.roles.roles(words).ok_or(JwtRefused::NoRole)?;
    Ok(Principal::named(Subject::oidc(sub), roles, scope(claims, &config.workloads)?))
}

/// RFC 7519 section 4.1.3: one text, or a list of which one must be ours.
fn check_audience(claims: &Map<String, Value>, expected: &str) -> Result<(), JwtRefused> {
    let value = claims.get("aud").ok_or(JwtRefused::MissingClaim { name: "aud" })?;
    let ours = match value {
        Value::String(one) => one == expected,
        Value::Array(all) => all.iter().any(|one| one == expected),
        _ => return Err(JwtRefused::BadClaim { name: "aud".to_owned() }),
    };
    if ours {
        return Ok(());
    }
    Err(JwtRefused::Audience { expected: expected.to_owned(), found: shortened(&value.to_string()) })
}

/// RFC 7519 section 4.1.4 and 4.1.5. A token without an end is refused.
fn check_time(claims: &Map<String, Value>, now: UnixMs) -> Result<(), JwtRefused> {
    let now = now.0.div_euclid(1_000);
    let at = expires(claims)?;
    if now >= at.saturating_add(LEEWAY_SECONDS) {
        return Err(JwtRefused::Expired { at });
    }
    match date(claims, "nbf")? {
        Some(from) if now < from.saturating_sub(LEEWAY_SECONDS) => Err(JwtRefused::NotYet { from }),
        _ => Ok(()),
    }
}

/// `exp`, in seconds since 1970.
pub(super) fn expires(claims: &Map<String, Value>) -> Result<i64, JwtRefused> {
    date(claims, "exp")?.ok_or(JwtRefused::MissingClaim { name: "exp" })
}

/// `iat`, in seconds since 1970.
pub(super) fn issued(claims: &Map<String, Value>) -> Result<i64, JwtRefused> {
    date(claims, "iat")?.ok_or(JwtRefused::MissingClaim { name: "iat" })
}

fn scope(claims: &Map<String, Value>, from: &WorkloadsFrom) -> Result<Scope, JwtRefused> {
    let WorkloadsFrom::Claim(path) = from else { return Ok(Scope::Everything) };
    let bad = || JwtRefused::BadClaim { name: path.to_string() };
    let words = words(path.find(claims).ok_or(JwtRefused::NoWorkloads)?).ok_or_else(bad)?;
    match words[..] {
        [] => Err(JwtRefused::NoWorkloads),
        [EVERYTHING] => Ok(Scope::Everything),
        _ => Scope::of_names(words).map_err(|_| bad()),
    }
}

/// A list of texts, or one text of words with spaces between them (as the claim
/// `scope` is, RFC 8693 section 4.2).
fn words(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(text.split_ascii_whitespace().collect()),
        Value::Array(all) => all.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// A claim that is text.
pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, JwtRefused> {
    let value = claims.get(name).ok_or(JwtRefused::MissingClaim { name })?;
    value.as_str().ok_or_else(|| JwtRefused::BadClaim { name: name.to_owned() })
}

/// RFC 7519 section 2, NumericDate: seconds, and a fraction is allowed.
fn date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, JwtRefused> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    // A float becomes the nearest whole number that an i64 can be.
    let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64));
    seconds.map(Some).ok_or_else(|| JwtRefused::BadClaim { name: name.to_owned() })
}

/// For clocks that differ. Small: whoever runs a provider runs NTP.
pub(super) const LEEWAY_SECONDS: i64 = 30;
