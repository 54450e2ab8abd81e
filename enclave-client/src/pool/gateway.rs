use std::sync::Arc;

use countersign_protocol::Host;
use countersign_telemetry::TraceContext;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{OpenError, limits};
use crate::{
    attest::{Attested, server_name},
    transport::{Dial, Stream},
};

/// Where a proxy's gateway port is.
#[derive(Clone, Debug)]
pub struct Gateway {
    dial: Dial,
    server_name: ServerName<'static>,
}

impl Gateway {
    /// The gateway that `dial` reaches and whose certificate names `name`.
    ///
    /// # Errors
    /// [`rustls::Error`] for a name that no certificate can carry.
    pub fn new(name: &Host, dial: Dial) -> Result<Self, rustls::Error> {
        Ok(Self { dial, server_name: server_name(name)? })
    }

    /// A fresh connection with the session's certificate.
    ///
    /// The address that was attested to comes first and alone, where it is known:
    /// another replica may not know the session yet.
    pub(super) async fn connect(
        &self,
        attested: &Attested,
        tls: &Arc<ClientConfig>,
        trace: Option<TraceContext>,
    ) -> Result<TlsStream<Stream>, OpenError> {
        let addresses = match &attested.gateway {
            Some(address) => vec![address.clone()],
            None => self.dial.resolve().await.map_err(|why| OpenError::broke("resolve", &why))?,
        };
        let mut last = OpenError::Gateway("no address".to_owned());
        for address in addresses {
            match address.connect_under(trace).await {
                Ok(stream) => return self.handshake(stream, tls).await,
                Err(why) => last = OpenError::broke("connect", &why),
            }
        }
        Err(last)
    }

    async fn handshake(
        &self,
        stream: Stream,
        tls: &Arc<ClientConfig>,
    ) -> Result<TlsStream<Stream>, OpenError> {
        let connector = TlsConnector::from(tls.clone());
        timeout(limits::HANDSHAKE_DEADLINE, connector.connect(self.server_name.clone(), stream))
            .await
            .map_err(|_| OpenError::Gateway("TLS handshake was not done in time".to_owned()))?
            .map_err(|why| OpenError::broke("TLS handshake", &why))
    }
}
