use std::{fmt, path::Path, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, header, request};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{
    Deadline, token,
    transport::{BoxError, Response},
};
use crate::cli::{
    failure::Failure,
    words::{Environment, RemotePlace, ServerUrl},
};

/// A proxy's admin port, over TLS. Redirects are not followed: the token is for
/// this server.
pub(super) struct Remote {
    server: ServerUrl,
    authorization: Option<HeaderValue>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl super::Client {
    /// A client of this server. Nothing is sent yet.
    ///
    /// # Errors
    /// A file that cannot be read, or is not what it must be.
    pub(in crate::cli) fn of_server(
        place: RemotePlace,
        environment: Environment<'_>,
    ) -> Result<Self, Failure> {
        let RemotePlace { server, ca, token, client } = place;
        let authorization = token::authorization(&token, environment)?;
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(ca.as_deref())?);
        let tls = match client {
            None => tls.with_no_client_auth(),
            Some((certificate, key)) => {
                tls.with_client_auth_cert(certificates(&certificate)?, private_key(&key)?).map_err(
                    |error| Failure::wrong(key, format_args!("not the key of that certificate: {error}")),
                )?
            }
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(Deadline::CONNECTION));
        tcp.set_nodelay(true);
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).build(https);
        Ok(Self::remote(Remote { server, authorization, client }))
    }
}

impl Remote {
    /// The whole URL of a path.
    pub(super) fn target(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    /// Adds who asks.
    pub(super) fn prepare(&self, request: request::Builder) -> request::Builder {
        let request =
            request.header(header::USER_AGENT, concat!("countersign-proxy/", env!("CARGO_PKG_VERSION")));
        match &self.authorization {
            Some(authorization) => request.header(header::AUTHORIZATION, authorization),
            None => request,
        }
    }

    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response, BoxError> {
        let response = self.client.request(request).await?;
        Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

/// Those of the file and no others, or the public ones.
fn roots(ca: Option<&Path>) -> Result<RootCertStore, Failure> {
    let Some(path) = ca else {
        return Ok(RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()));
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| Failure::wrong(path, format_args!("not a CA certificate: {error}")))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Failure::wrong(path, "expected a PEM file with certificates; found none in it")),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    let key = PrivateKeyDer::from_pem_slice(&read(path)?);
    key.map_err(|_| Failure::wrong(path, "expected a PEM file with one private key; found none in it"))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::unreadable(path, &error))
}
