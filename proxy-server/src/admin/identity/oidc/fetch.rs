use std::{fs, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
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

use super::{BadOidcConfig, KeysUnavailable, issuer::Transport};

/// Asks the provider. Redirects are not followed: a URL that may be asked could
/// lead to one that may not.
pub(super) struct Fetcher {
    transport: Transport,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
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
    pub(super) async fn json<T: DeserializeOwned>(&self, url: &str) -> Result<T, KeysUnavailable> {
        let target: Uri = url
            .parse()
            .ok()
            .filter(|target| self.transport.allows(target))
            .ok_or_else(|| KeysUnavailable::KeysElsewhere { found: url.chars().take(512).collect() })?;
        let broken = |error: &dyn std::error::Error| KeysUnavailable::Connection {
            url: url.to_owned(),
            cause: chain(error),
        };
        let response = self.client.get(target).await.map_err(|error| broken(&error))?;
        if response.status() != StatusCode::OK {
            return Err(KeysUnavailable::Status { url: url.to_owned(), status: response.status().as_u16() });
        }
        let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => KeysUnavailable::TooLarge { url: url.to_owned(), max: MAX_BYTES },
            None => broken(error.as_ref()),
        })?;
        serde_json::from_slice(&body.to_bytes())
            .map_err(|error| KeysUnavailable::Json { url: url.to_owned(), cause: error.to_string() })
    }
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

/// For discovery and keys together.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// A set of ten RSA keys with their certificates has about 30 KiB.
pub(super) const MAX_BYTES: usize = 256 * 1024;
