use std::{error::Error, fmt, io, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use prost::Message;

use super::{
    super::{messages, settings::Settings},
    connect::Connect,
    retry,
    tls::Tls,
};
use crate::Signal;

/// Where one signal goes: a connection that is kept, and opened again when it is gone.
pub(super) struct Post {
    connect: Arc<dyn Connect>,
    tls: Tls,
    host: String,
    port: u16,
    path: PathAndQuery,
    headers: HeaderMap,
    live: Option<Live>,
}

/// A connection. Whoever sends drives it: there is no task beside.
struct Live {
    requests: SendRequest<Full<Bytes>>,
    driver: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no answer.
    Unanswered(Box<dyn Error + Send + Sync>),
    /// The collector will take it later, perhaps after so long.
    Later(StatusCode, Option<Duration>),
    /// The collector will never take it.
    Refused(StatusCode),
}

impl Post {
    pub(super) fn new(
        settings: &Settings,
        signal: Signal,
        tls: Tls,
        connect: Arc<dyn Connect>,
    ) -> Result<Self, http::Error> {
        let endpoint = &settings.endpoint;
        let mut headers = settings.headers.map().clone();
        headers.insert(header::HOST, HeaderValue::from_str(endpoint.authority())?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        Ok(Self {
            connect,
            tls,
            host: endpoint.host().to_owned(),
            port: endpoint.port(),
            path: endpoint.path(signal)?,
            headers,
            live: None,
        })
    }

    /// Sends this, and gives how many items the collector says it dropped. May be dropped
    /// at any time; the connection goes with it.
    pub(super) async fn send(&mut self, body: Bytes) -> Result<u64, Failure> {
        // A kept connection may have been closed in the meantime: that is no failure yet.
        if let Some(live) = self.live.take()
            && let Ok(answer) = self.ask(live, body.clone()).await
        {
            return answer;
        }
        let live = self.open().await.map_err(|error| Failure::Unanswered(error.into()))?;
        self.ask(live, body).await.unwrap_or_else(|error| Err(Failure::Unanswered(error)))
    }

    async fn open(&mut self) -> io::Result<Live> {
        let stream = self.connect.connect(&self.host, self.port).await?;
        let stream = self.tls.over(stream).await?;
        let (requests, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // What ends it is told to whoever waits for an answer.
        Ok(Live { requests, driver: Box::pin(async { drop(connection.await) }) })
    }

    /// The outer result is the connection's, the inner one the collector's.
    async fn ask(
        &mut self,
        mut live: Live,
        body: Bytes,
    ) -> Result<Result<u64, Failure>, Box<dyn Error + Send + Sync>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone().into();
        *request.headers_mut() = self.headers.clone();

        let mut ended = false;
        let answer = {
            let mut answer = std::pin::pin!(answered(&mut live.requests, request));
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => break answer?,
                    // The answer may have come before the end did.
                    () = &mut live.driver, if !ended => ended = true,
                }
            }
        };
        if !ended {
            self.live = Some(live);
        }
        Ok(answer)
    }
}

async fn answered(
    requests: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Result<u64, Failure>, Box<dyn Error + Send + Sync>> {
    requests.ready().await?;
    let response = requests.send_request(request).await?;
    let status = response.status();
    if retry::again(status) {
        return Ok(Err(Failure::Later(status, retry::asked(response.headers()))));
    }
    if !status.is_success() {
        return Ok(Err(Failure::Refused(status)));
    }
    let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await?.to_bytes();
    // An answer that says nothing readable took all.
    let partial = messages::Response::decode(body).ok().and_then(|answer| answer.partial_success);
    Ok(Ok(partial.map_or(0, |partial| u64::try_from(partial.rejected).unwrap_or(0))))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered(why) => {
                write!(f, "no answer: {why}")?;
                let mut source = why.source();
                while let Some(next) = source {
                    write!(f, ": {next}")?;
                    source = next.source();
                }
                Ok(())
            }
            Self::Later(status, _) | Self::Refused(status) => write!(f, "answered {status}"),
        }
    }
}

/// In bytes. An answer holds two numbers and perhaps a sentence.
const LONGEST_ANSWER: usize = 64 * 1024;

const AGENT: &str = concat!("countersign/", env!("CARGO_PKG_VERSION"));
