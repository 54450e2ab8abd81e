use std::{error::Error, fmt, io, time::Duration};

use axum::Router;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tower::ServiceExt;

use super::{Answer, Call, Deadline, Refused, problem::WhichPlace, remote::Remote};
use crate::{cli::failure::Failure, log::Chain};

/// Asks the admin API.
pub(in crate::cli) struct Client {
    transport: Transport,
}

enum Transport {
    /// Over the network.
    Remote(Box<Remote>),
    /// The API's own routes in this process, over the store of this machine.
    Machine(Router),
}

/// An answer whose body has not been read.
pub(super) type Response = http::Response<UnsyncBoxBody<Bytes, BoxError>>;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

impl Client {
    pub(super) fn remote(remote: Remote) -> Self {
        Self { transport: Transport::Remote(Box::new(remote)) }
    }

    /// A client of these routes, which know already who asks.
    pub(in crate::cli) fn machine(routes: Router) -> Self {
        Self { transport: Transport::Machine(routes) }
    }

    /// Asks, and reads the answer whole.
    ///
    /// # Errors
    /// [`Failure::Refused`] for a problem; [`Unreached`] when nobody answered.
    pub(in crate::cli) async fn ask(&self, call: &Call) -> Result<Answer, Failure> {
        let limit = Deadline::ANSWER + call.waits;
        let answer = timeout(limit, async { self.whole(self.send(call).await?).await });
        let answer = answer.await.map_err(|_| self.late(call, limit))??;
        self.accepted(answer)
    }

    /// Asks, and writes the body as it comes.
    ///
    /// # Errors
    /// As [`Client::ask`], and those of `out`. What was written before the error stays written.
    pub(in crate::cli) async fn stream(
        &self,
        call: &Call,
        out: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u64, Failure> {
        let head = timeout(Deadline::ANSWER, self.send(call)).await;
        let response = head.map_err(|_| self.late(call, Deadline::ANSWER))??;
        if !response.status().is_success() {
            let answer = timeout(Deadline::ANSWER, self.whole(response)).await;
            let answer = answer.map_err(|_| self.late(call, Deadline::ANSWER))??;
            return self.accepted(answer).map(|_| 0);
        }
        let mut body = response.into_body();
        let mut written = 0;
        loop {
            let frame = timeout(Deadline::PIECE, body.frame()).await;
            let Some(frame) = frame.map_err(|_| self.late(call, Deadline::PIECE))? else { break };
            let frame = frame.map_err(|source| self.broken(call, source))?;
            if let Ok(bytes) = frame.into_data() {
                out.write_all(&bytes).await?;
                written += bytes.len() as u64;
            }
        }
        out.flush().await?;
        Ok(written)
    }

    async fn send(&self, call: &Call) -> Result<Response, Failure> {
        let mut request = Request::builder().method(call.method.clone());
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if call.body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = Full::new(Bytes::from(call.body.clone().unwrap_or_default()));
        match &self.transport {
            Transport::Remote(remote) => {
                let request = remote.prepare(request.uri(remote.target(&call.target))).body(body)?;
                remote.send(request).await.map_err(|source| self.broken(call, source))
            }
            Transport::Machine(routes) => {
                let request = request.uri(&call.target).body(axum::body::Body::new(body))?;
                let Ok(response) = routes.clone().oneshot(request).await;
                Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
            }
        }
    }

    async fn whole(&self, response: Response) -> Result<Answer, Failure> {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let reason = format!("an answer of more than {MOST_BYTES} bytes");
                return Unreached::NotUnderstood { reason };
            }
            Unreached::Broken { place: self.place(), call: "the answer".to_owned(), source: error }
        })?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }

    fn accepted(&self, answer: Answer) -> Result<Answer, Failure> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        let place = match self.transport {
            Transport::Remote(_) => WhichPlace::Server,
            Transport::Machine(_) => WhichPlace::Machine,
        };
        Err(Failure::Refused(Box::new(Refused::of(&answer, place))))
    }

    fn broken(&self, call: &Call, source: BoxError) -> Failure {
        Unreached::Broken { place: self.place(), call: call.words(), source }.into()
    }

    fn late(&self, call: &Call, limit: Duration) -> Failure {
        Unreached::Late { place: self.place(), call: call.words(), limit }.into()
    }

    fn place(&self) -> String {
        match &self.transport {
            Transport::Remote(remote) => remote.to_string(),
            Transport::Machine(_) => "this machine's store".to_owned(),
        }
    }
}

/// No answer that makes sense came back.
#[derive(Debug)]
pub(in crate::cli) enum Unreached {
    /// No connection, or it broke.
    Broken {
        /// What was tried.
        place: String,
        /// What was asked.
        call: String,
        /// Why.
        source: BoxError,
    },
    /// Nothing came in time.
    Late {
        /// What was tried.
        place: String,
        /// What was asked.
        call: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Something answered, and it is not what this version reads.
    NotUnderstood {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { place, call, source } => {
                let source: &(dyn Error + 'static) = source.as_ref();
                write!(f, "cannot reach {place} ({call}): {}", Chain(source))?;
                match advice(source) {
                    Some(advice) => write!(f, "\n  {advice}"),
                    None => Ok(()),
                }
            }
            Self::Late { place, call, limit } => {
                let seconds = limit.as_secs();
                write!(
                    f,
                    "{place} did not answer within {seconds} s ({call}); a change may have been made: look"
                )
            }
            Self::NotUnderstood { reason } => {
                write!(
                    f,
                    "the answer was not understood: {reason}; is it another version of countersign-proxy?"
                )
            }
        }
    }
}

/// The cause is in the text already, with everything below it.
impl Error for Unreached {}

/// What most often is wrong.
fn advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut causes = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    causes.find_map(|cause| {
        let cause = unwrapped(cause);
        if let Some(rustls::Error::InvalidCertificate(reason)) = cause.downcast_ref() {
            return Some(match reason {
                rustls::CertificateError::NotValidForName
                | rustls::CertificateError::NotValidForNameContext { .. } => {
                    "use a name that the server's certificate has"
                }
                _ => "name the CA that the server's certificate comes from: --ca FILE or COUNTERSIGN_CA",
            });
        }
        match cause.downcast_ref::<io::Error>()?.kind() {
            io::ErrorKind::ConnectionRefused => Some(
                "nobody listens there: look at admin.listen in the proxy's configuration (9443 on loopback by default)",
            ),
            _ => None,
        }
    })
}

/// An I/O error carries what caused it inside, and names as its source only what lies behind that.
fn unwrapped<'e>(mut error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    while let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        error = inner;
    }
    error
}

/// A page of a thousand rows has less than one MiB.
const MOST_BYTES: usize = 16 * 1024 * 1024;
