//! Answers that are pages, and what protects them.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use maud::Markup;

/// A page, whole.
pub(super) fn page(status: StatusCode, markup: Markup) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], markup.into_string()).into_response()
}

/// Headers of every answer of the page. No script, style or picture is taken from
/// elsewhere or from within a page, nobody puts a page in a frame, and a form goes
/// nowhere else.
pub(super) async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in PROTECTION {
        headers.insert(name, value);
    }
    response
}

/// A cookie of ours, which no script reads. Its name begins with `__Host-`: a
/// browser then refuses it unless it is Secure, for this host alone, and for
/// every path (RFC 6265bis section 4.1.3.2).
pub(super) struct Cookie {
    pub(super) name: &'static str,
    attributes: &'static str,
    gone: HeaderValue,
}

impl Cookie {
    /// `Set-Cookie`.
    pub(super) fn set(&self, value: &str) -> Option<HeaderValue> {
        let mut set = HeaderValue::try_from(format!("{}={value}; {}", self.name, self.attributes)).ok()?;
        set.set_sensitive(true);
        Some(set)
    }

    /// `Set-Cookie` that takes it away.
    pub(super) fn gone(&self) -> HeaderValue {
        self.gone.clone()
    }
}

/// Of a login. It ends with the browser, and with the login.
pub(super) static LOGIN: Cookie = Cookie {
    name: "__Host-countersign",
    attributes: "Path=/; Secure; HttpOnly; SameSite=Strict",
    gone: HeaderValue::from_static(
        "__Host-countersign=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0",
    ),
};

/// Of somebody who is at the OpenID provider: from there the browser comes back, so
/// this one must come along when another site leads here (`Lax`). It opens nothing.
pub(super) static SIGN_IN: Cookie = Cookie {
    name: "__Host-countersign-sign-in",
    attributes: "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600",
    gone: HeaderValue::from_static(
        "__Host-countersign-sign-in=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0",
    ),
};

const PROTECTION: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; \
             trusted-types 'none'",
        ),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    // With `no-referrer` a form's own Origin would be `null` (Fetch, "append a request `Origin` header").
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ),
];
