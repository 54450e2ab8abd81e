use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    KmsConfig, KmsLimits,
    exchange::Exchange,
    loopback::{self, Bounds},
    recipient::Recipient,
    upstream::Upstream,
};
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
        let figures = egress.telemetry().figures().cloned();
        let upstream = Upstream::new(egress, &config.anchors, &limits).map_err(KmsError::Tls)?;
        let recipient = Arc::new(Recipient::new(device, limits.recipient));
        let exchange = Arc::new(Exchange::new(config, recipient.clone(), upstream, figures));
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
        let Self { listener, limits, recipient, exchange, .. } = self;
        let bounds = Bounds { connections: limits.connections, head_deadline: limits.head_deadline };
        let answer = move |request| {
            let exchange = exchange.clone();
            async move { exchange.answer(request).await }
        };
        tokio::join!(
            recipient.maintain(stop.clone()),
            loopback::serve(listener, bounds, answer, stop.clone())
        );
    }
}

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
