use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::{constant_time::verify_slices_are_equal, rand};
use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{
    CredentialSource, Credentials,
    loopback::{self, Bounds},
};

/// Offers the newest credentials to the SDKs inside, as a container's host does (AWS SDKs and Tools
/// Reference Guide, "Container credential provider"). They ask again before the credentials expire.
pub struct CredentialsEndpoint {
    listener: TcpListener,
    address: SocketAddr,
    token: Arc<Zeroizing<String>>,
}

impl CredentialsEndpoint {
    /// Listens on `127.0.0.1:port` (0: any free one) with a token of its own.
    ///
    /// # Errors
    /// When the port cannot be had, or the system gives no random numbers.
    pub async fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let mut random = Zeroizing::new([0; 32]);
        rand::fill(&mut *random).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        Ok(Self { listener, address, token: Arc::new(Zeroizing::new(hex::encode(*random))) })
    }

    /// What the application's environment needs. The token is a secret: whoever has it has the credentials.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{}{PATH}", self.address)),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", self.token.to_string()),
        ]
    }

    /// Answers until `stop`.
    pub async fn serve(self, source: CredentialSource, stop: CancellationToken) {
        let Self { listener, token, .. } = self;
        let answer = move |request| {
            let (source, token) = (source.clone(), token.clone());
            async move { answer(&request, &source, &token).await }
        };
        loopback::serve(listener, BOUNDS, answer, stop).await;
    }
}

/// Names the address only.
impl fmt::Debug for CredentialsEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CredentialsEndpoint").field(&self.address).finish()
    }
}

async fn answer(
    request: &Request<Incoming>,
    source: &CredentialSource,
    token: &str,
) -> Response<Full<Bytes>> {
    if request.method() != http::Method::GET || request.uri().path() != PATH {
        return refusal(StatusCode::NOT_FOUND, "NotFound", "credentials are at GET /v1/credentials");
    }
    let shown = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    if verify_slices_are_equal(shown, token.as_bytes()).is_err() {
        return refusal(StatusCode::FORBIDDEN, "AccessDenied", "AWS_CONTAINER_AUTHORIZATION_TOKEN is needed");
    }
    match source.newest().await {
        Ok(credentials) => json(StatusCode::OK, &Offered::new(&credentials)),
        Err(why) => refusal(StatusCode::SERVICE_UNAVAILABLE, "NoCredentials", &why.to_string()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Offered<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<String>,
}

impl<'a> Offered<'a> {
    fn new(credentials: &'a Credentials) -> Self {
        Self {
            access_key_id: credentials.access_key_id(),
            secret_access_key: credentials.secret_access_key(),
            token: credentials.session_token(),
            expiration: credentials
                .expires()
                .and_then(|expires| OffsetDateTime::from(expires).format(&Rfc3339).ok()),
        }
    }
}

#[derive(Serialize)]
struct Refused<'a> {
    code: &'a str,
    message: &'a str,
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    json(status, &Refused { code, message })
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(serde_json::to_vec(body).unwrap_or_default().into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const PATH: &str = "/v1/credentials";

/// SDKs ask seldom, and keep no connection.
const BOUNDS: Bounds = Bounds { connections: 32, head_deadline: Duration::from_secs(10) };
