//! Who is let through to the handlers.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, Method, header, request::Parts};
use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use super::{
    code::Code,
    identity::{AuthError, Credentials, Principal},
    problem::ApiError,
    state::{Api, Shared},
};
use crate::store::UnixMs;

/// What a handler may know of the connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// The other end's address.
    pub(super) address: SocketAddr,
    /// The certificate that TLS verified, if one was shown.
    pub(super) certificate: Option<CertificateDer<'static>>,
    /// Cancelled when the port closes.
    pub(super) closing: CancellationToken,
}

/// The caller's credentials; kept to be judged again, for answers that go on for long.
#[derive(Clone)]
pub(super) struct Login {
    credentials: Credentials,
    peer: SocketAddr,
    closing: CancellationToken,
}

impl Login {
    /// What came with a request; not judged yet.
    fn of(request: &Request) -> Result<Self, ApiError> {
        let peer = request.extensions().get::<Peer>();
        let peer = peer.ok_or_else(|| ApiError::internal("a request came without its connection"))?;
        let credentials = Credentials::find(request.headers(), peer.certificate.as_ref())?;
        Ok(Self::over(credentials, peer))
    }

    /// What came over this connection, or what a login of the web page stands for; judged again either way.
    pub(super) fn over(credentials: Credentials, peer: &Peer) -> Self {
        Self { credentials, peer: peer.address, closing: peer.closing.clone() }
    }

    /// Returns when the port closes: answers that go on for long end then.
    pub(super) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Whose they are, now.
    pub(super) async fn again(&self, api: &Shared) -> Result<Principal, ApiError> {
        self.judged(api).await.map_err(ApiError::from)
    }

    /// The same, for whoever has words of his own for why not.
    pub(super) async fn judged(&self, api: &Shared) -> Result<Principal, AuthError> {
        api.authenticator.authenticate(&self.credentials, self.peer.ip(), UnixMs::now()).await
    }
}

impl<S: Sync> FromRequestParts<S> for Login {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let login = parts.extensions.get::<Self>().cloned();
        login.ok_or_else(|| {
            ApiError::internal("a handler asked for its caller's login where nobody is authenticated")
        })
    }
}

/// Finds out who asks, before anything else is looked at.
pub(super) async fn authenticate(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let login = match Login::of(&request) {
        Ok(login) => login,
        Err(error) => return error.into_response(),
    };
    match login.again(&api).await {
        Ok(principal) => {
            request.extensions_mut().insert(Arc::new(principal));
            request.extensions_mut().insert(login);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

/// A browser sends a client certificate along for whatever page asks it to, and
/// says which page that is (Fetch, "Origin header"; Fetch Metadata). Programs
/// say nothing of the kind.
pub(super) fn check_origin(api: &Shared, request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    // Under TLS nobody else answers to the host that the request names: a page of that
    // origin came from here.
    // RFC 9113 section 8.3.1: HTTP/2 names it in `:authority`.
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = authority.or_else(|| headers.get(header::HOST).map(|host| host.as_bytes()));
    let host = host.map(|host| [b"https://", host].concat());
    let own = |origin: &[u8]| {
        api.config.origins.iter().any(|own| own.as_bytes() == origin) || host.as_deref() == Some(origin)
    };
    if headers.get_all(header::ORIGIN).iter().any(|origin| !own(origin.as_bytes())) {
        return Err(ApiError::new(
            Code::ForeignOrigin,
            "this API takes no requests from pages of other origins",
        ));
    }
    let ours = |site: &[u8]| matches!(site, b"same-origin" | b"none");
    if headers.get_all(SEC_FETCH_SITE).iter().any(|site| !ours(site.as_bytes())) && !is_visit(request) {
        return Err(ApiError::new(
            Code::ForeignOrigin,
            "this API takes no requests from pages of other sites",
        ));
    }
    Ok(())
}

/// Somebody followed a link to a page of ours, or comes back from the OpenID provider. It
/// changes nothing of the installation, and the browser keeps the login's cookie to
/// itself (`SameSite=Strict`).
fn is_visit(request: &Request) -> bool {
    let says = |name: &str, word: &str| request.headers().get(name).is_some_and(|value| value == word);
    let path = request.uri().path();
    request.method() == Method::GET
        && (path == "/" || path == "/ui" || path.starts_with("/ui/"))
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
