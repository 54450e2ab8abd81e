use std::{convert::Infallible, future::Future, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::transport::Setbacks;

/// The bounds of a server on loopback.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Connections at a time; the next one waits in the listener's queue.
    pub(super) connections: usize,
    /// For a request's head to come whole; how long an idle connection is kept, too.
    pub(super) head_deadline: Duration,
}

/// Answers HTTP/1.1 until `stop`. Bounds on bodies and on time are the handler's.
pub(super) async fn serve<H, F>(listener: TcpListener, bounds: Bounds, handler: H, stop: CancellationToken)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(bounds.connections));
    let mut setbacks = Setbacks::default();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &room)).await {
        match accepted {
            Ok((stream, permit)) => {
                setbacks.over();
                let connection = serve_connection(stream, bounds, handler.clone(), permit);
                let stop = stop.clone();
                tokio::spawn(async move { stop.run_until_cancelled(connection).await });
            }
            Err(why) => {
                stop.run_until_cancelled(setbacks.wait("server on loopback", &why)).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

async fn serve_connection<H, F>(stream: TcpStream, bounds: Bounds, handler: H, permit: OwnedSemaphorePermit)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_deadline)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(why) = served {
        debug!("a connection on loopback ended: {why}");
    }
    drop(permit);
}
