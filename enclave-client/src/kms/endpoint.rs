use std::{
    convert::Infallible,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{KmsConfig, KmsLimits, exchange::Exchange, recipient::Recipient, upstream::Upstream};
use crate::{device::Device, egress::Egress};

/// The local endpoint that looks like plain KMS.
pub struct KmsEndpoint {
    listener: TcpListener,
    address: SocketAddr,
    limits: KmsLimits,
    recipient: Arc<Recipient>,
    exchange: Arc<Exchange>,
}

impl KmsEndpoint {
    /// Listens on loopback. Calls leave through `egress`, documents come from `device`.
    ///
    /// # Errors
    /// [`KmsError`].
    pub async fn bind(config: KmsConfig, egress: Arc<Egress>, device: Device) -> Result<Self, KmsError> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await.map_err(KmsError::Listen)?;
        let address = listener.local_addr().map_err(KmsError::Listen)?;
        let limits = config.limits;
        let upstream = Upstream::new(egress, &config.anchors, &limits).map_err(KmsError::Tls)?;
        let recipient = Arc::new(Recipient::new(device, limits.recipient));
        let exchange = Arc::new(Exchange::new(config, recipient.clone(), upstream));
        Ok(Self { listener, address, limits, recipient, exchange })
    }

    /// Where it listens, with the port that was found.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the application's environment needs: the SDKs' own variable, and Enclaver's.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let url = format!("http://{}", self.address);
        [("AWS_ENDPOINT_URL_KMS", url.clone()), ("AWS_KMS_ENDPOINT", url)]
    }

    /// Answers until `stop`, and keeps a document ready meanwhile.
    pub async fn serve(self, stop: CancellationToken) {
        let recipient = self.recipient.clone();
        let ahead = tokio::spawn({
            let stop = stop.clone();
            async move { recipient.maintain(stop).await }
        });
        let room = Arc::new(Semaphore::new(self.limits.connections));
        while let Some(accepted) = stop.run_until_cancelled(self.accept(&room)).await {
            match accepted {
                Ok((stream, permit)) => {
                    let connection = serve_connection(stream, self.exchange.clone(), self.limits, permit);
                    let stop = stop.clone();
                    tokio::spawn(async move { stop.run_until_cancelled(connection).await });
                }
                Err(why) => {
                    // Out of descriptors, most likely: they come back when connections end.
                    warn!("accept failed: {why}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // It stops with the same token; a join error means that the runtime stops.
        let _ = ahead.await;
    }

    /// The next connection, once there is room for it: others wait in the listener's queue.
    async fn accept(&self, room: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = self.listener.accept().await?;
        Ok((stream, permit))
    }
}

async fn serve_connection(
    stream: TcpStream,
    exchange: Arc<Exchange>,
    limits: KmsLimits,
    permit: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let exchange = exchange.clone();
        async move { Ok::<_, Infallible>(exchange.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_deadline)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(why) = served {
        debug!("connection to the KMS endpoint ended: {why}");
    }
    drop(permit);
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no endpoint.
#[derive(Debug)]
pub enum KmsError {
    /// The port.
    Listen(io::Error),
    /// TLS.
    Tls(rustls::Error),
}

impl fmt::Display for KmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listen(_) => "the KMS endpoint cannot listen",
            Self::Tls(_) => "TLS to KMS cannot be configured",
        })
    }
}

impl std::error::Error for KmsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen(why) => Some(why),
            Self::Tls(why) => Some(why),
        }
    }
}
