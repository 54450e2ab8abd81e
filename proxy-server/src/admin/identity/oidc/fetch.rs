use std::{fs, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{BadOidcConfig, ProviderUnavailable, issuer::Transport};

/// Asks the provider. Redirects are not followed: a URL that may be asked could
/// lead to one that may not.
pub(super) struct Fetcher {
    transport: Transport,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// What is sent to the token endpoint. It holds secrets, and so no error repeats anything of it.
pub(super) struct Form {
    /// `application/x-www-form-urlencoded`.
    pub(super) body: Zeroizing<String>,
    pub(super) authorization: Option<HeaderValue>,
}

/// What the token endpoint says.
pub(super) enum Posted<T, E> {
    Done(T),
    Refused(E),
}

impl Fetcher {
    pub(super) fn new(transport: Transport, ca_file: Option<&Path>) -> Result<Self, BadOidcConfig> {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|source| BadOidcConfig::Tls { source })?
            .with_root_certificates(roots(ca_file)?)
            .with_no_client_auth();
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
        let connector = match transport {
            Transport::Https => builder.https_only().enable_http1().build(),
            Transport::Loopback => builder.https_or_http().enable_http1().build(),
        };
        // Asked every ten minutes: a connection kept open would only be closed by then.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { transport, client })
    }

    /// The JSON at `url`. The caller sets the deadline ([`DEADLINE`]).
    pub(super) async fn json<T: DeserializeOwned>(&self, url: &str) -> Result<T, ProviderUnavailable> {
        let response = self.ask(url, Request::get(url), Bytes::new()).await?;
        if response.status() != StatusCode::OK {
            return Err(unexpected(url, response.status()));
        }
        serde_json::from_slice(&whole(url, response).await?)
            .map_err(|error| ProviderUnavailable::Json { url: url.to_owned(), cause: error.to_string() })
    }

    /// Sends a form, and reads the JSON of a yes or a no (RFC 6749 section 5.2:
    /// 400, or 401 for a client that the provider does not know).
    pub(super) async fn post<T: DeserializeOwned, E: DeserializeOwned>(
        &self,
        url: &str,
        form: Form,
    ) -> Result<Posted<T, E>, ProviderUnavailable> {
        let Form { body, authorization } = form;
        let mut request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let response = self.ask(url, request, Bytes::from_owner(Wiped(body))).await?;
        let status = response.status();
        if !matches!(status, StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) {
            return Err(unexpected(url, status));
        }
        let bytes = whole(url, response).await?;
        // What is wrong with it is not told: the words of an error repeat values, and these are tokens.
        let no_json = |_| ProviderUnavailable::Json { url: url.to_owned(), cause: NO_TOKENS.to_owned() };
        match status {
            StatusCode::OK => serde_json::from_slice(&bytes).map(Posted::Done).map_err(no_json),
            _ => serde_json::from_slice(&bytes).map(Posted::Refused).map_err(no_json),
        }
    }

    async fn ask(
        &self,
        url: &str,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Response<Incoming>, ProviderUnavailable> {
        let target: Result<Uri, _> = url.parse();
        let allowed = target.is_ok_and(|target| self.transport.allows(&target));
        let request = request.body(Full::from(body)).ok().filter(|_| allowed);
        let elsewhere = || ProviderUnavailable::Elsewhere { found: url.chars().take(512).collect() };
        let response = self.client.request(request.ok_or_else(elsewhere)?).await;
        response.map_err(|error| broken(url, &error))
    }
}

/// A body whose bytes are wiped when nobody needs them any more.
struct Wiped(Zeroizing<String>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

async fn whole(url: &str, response: Response<Incoming>) -> Result<Bytes, ProviderUnavailable> {
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
    let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => ProviderUnavailable::TooLarge { url: url.to_owned(), max: MAX_BYTES },
        None => broken(url, error.as_ref()),
    })?;
    Ok(body.to_bytes())
}

fn unexpected(url: &str, status: StatusCode) -> ProviderUnavailable {
    ProviderUnavailable::Status { url: url.to_owned(), status: status.as_u16() }
}

fn broken(url: &str, error: &dyn std::error::Error) -> ProviderUnavailable {
    ProviderUnavailable::Connection { url: url.to_owned(), cause: chain(error) }
}

/// The public CAs, and those of the file.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, BadOidcConfig> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let Some(path) = ca_file else { return Ok(roots) };
    let not_cas = || BadOidcConfig::NotCas { path: path.to_owned() };
    let pem = fs::read(path).map_err(|source| BadOidcConfig::CaFile { path: path.to_owned(), source })?;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(|_| not_cas())?).map_err(|_| not_cas())?;
    }
    if roots.len() == before { Err(not_cas()) } else { Ok(roots) }
}

/// An error and all its sources, for an error that must be kept and shared.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// For discovery and keys together, or for one code.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

const NO_TOKENS: &str = "no tokens, and no error of RFC 6749";

/// A set of ten RSA keys with their certificates has about 30 KiB.
pub(super) const MAX_BYTES: usize = 256 * 1024;
