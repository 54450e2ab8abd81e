use std::{io, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::{
    super::settings::{Anchors, BadSetting, Security, Settings},
    connect::Stream,
};

/// What goes over the way to the collector before HTTP does.
#[derive(Clone)]
pub(in crate::otlp) enum Tls {
    Plain,
    Checked { connector: TlsConnector, name: ServerName<'static> },
}

impl Tls {
    pub(in crate::otlp) fn new(settings: &Settings) -> Result<Self, BadSetting> {
        if settings.endpoint.security() == Security::Plain {
            return Ok(Self::Plain);
        }
        let name = ServerName::try_from(settings.endpoint.host().to_owned())
            .map_err(|_| BadSetting::Endpoint { why: "the host is no name that a certificate can have" })?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| BadSetting::Tls)?
            .with_root_certificates(roots(&settings.anchors)?)
            .with_no_client_auth();
        Ok(Self::Checked { connector: TlsConnector::from(Arc::new(config)), name })
    }

    pub(super) async fn over(&self, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Plain => Ok(stream),
            Self::Checked { connector, name } => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
        }
    }
}

fn roots(anchors: &Anchors) -> Result<RootCertStore, BadSetting> {
    let mut roots = RootCertStore::empty();
    match anchors {
        Anchors::Public => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Anchors::Only(certificates) => {
            for certificate in certificates {
                roots.add(certificate.clone()).map_err(|_| BadSetting::Anchors)?;
            }
        }
    }
    if roots.is_empty() { Err(BadSetting::Anchors) } else { Ok(roots) }
}
