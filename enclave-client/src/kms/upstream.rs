use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{KmsLimits, Site};
use crate::{
    egress::{Cuttable, Egress, EgressError},
    tls::{self, Anchors},
};

/// The way to KMS: TLS that ends here, over whatever way out the policy gives, on kept connections.
#[derive(Clone)]
pub(super) struct Upstream {
    client: Client<Connector, Full<Bytes>>,
    body: usize,
}

/// What KMS answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Upstream {
    pub(super) fn new(
        egress: Arc<Egress>,
        anchors: &Anchors,
        limits: &KmsLimits,
    ) -> Result<Self, rustls::Error> {
        let tls = TlsConnector::from(tls::server_auth_config(anchors)?);
        // A kept connection that KMS closed before a byte of the request was sent is replaced by the client
        // itself; nothing else is ever sent twice.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(limits.kept)
            .pool_idle_timeout(limits.kept_for)
            .set_host(false)
            .build(Connector { egress, tls });
        Ok(Self { client, body: limits.body })
    }

    /// Sends `POST /` with these headers, the host among them.
    pub(super) async fn send(
        &self,
        site: &Site,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, SendError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() =
            format!("https://{}/", site.destination()).parse().map_err(|_| SendError::Uri)?;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        let response = self.client.request(request).await.map_err(SendError::Http)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, self.body).collect().await.map_err(SendError::Body)?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// Opens a connection for hyper's client.
#[derive(Clone)]
struct Connector {
    egress: Arc<Egress>,
    tls: TlsConnector,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Way>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { egress, tls } = self.clone();
        Box::pin(async move {
            timeout(CONNECT_DEADLINE, connect(&egress, &tls, &uri))
                .await
                .map_err(|_| ConnectError::Deadline)?
                .map(TokioIo::new)
        })
    }
}

async fn connect(egress: &Egress, tls: &TlsConnector, uri: &Uri) -> Result<Way, ConnectError> {
    let authority = uri.authority().ok_or(ConnectError::Name)?.as_str();
    let destination = authority.parse().map_err(|_| ConnectError::Name)?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|_| ConnectError::Name)?;
    let connection = Cuttable::new(egress.open(&destination).await.map_err(ConnectError::Egress)?);
    tls.connect(name, connection).await.map(|tls| Way(Box::new(tls))).map_err(ConnectError::Tls)
}

/// TLS to KMS.
struct Way(Box<TlsStream<Cuttable>>);

impl Connection for Way {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Way {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Way {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// For the way out to open and the handshake to be done.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Why there is no connection to KMS.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// Its name is no TLS server name.
    Name,
    /// There is no way out.
    Egress(EgressError),
    /// TLS failed.
    Tls(io::Error),
    /// Too slow.
    Deadline,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("the endpoint's name is no TLS server name"),
            Self::Egress(_) => f.write_str("there is no way out to KMS"),
            Self::Tls(_) => f.write_str("no TLS with KMS"),
            Self::Deadline => f.write_str("no connection to KMS in time"),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Egress(why) => Some(why),
            Self::Tls(why) => Some(why),
            Self::Name | Self::Deadline => None,
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum SendError {
    /// The site makes no URI.
    Uri,
    /// No connection, or it broke.
    Http(hyper_util::client::legacy::Error),
    /// The answer broke off, or is too large.
    Body(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uri => "the endpoint's name makes no URI",
            Self::Http(_) => "KMS was not reached",
            Self::Body(_) => "the answer of KMS did not come whole",
        })
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Uri => None,
            Self::Http(why) => Some(why),
            Self::Body(why) => Some(&**why),
        }
    }
}
