use std::{net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::ServeError;
use crate::{
    admin::{
        AdminApi, AdminConfig, AdminParts, AuditedLogins, StoreTokens,
        identity::{Authenticator, Oidc, client_verifier},
    },
    config::{Config, ServerIdentity},
    policy::PolicyHandle,
    store::{Journal, Store},
    telemetry::Telemetry,
};

/// The administrators' port, made and not serving yet.
pub(super) struct AdminPort {
    api: AdminApi,
    /// Whose keys are fetched again now and then.
    provider: Option<Arc<Oidc>>,
}

impl AdminPort {
    /// What the configuration says of who may sign in. `address` is where the port really listens.
    pub(super) fn new(
        config: &Config,
        address: SocketAddr,
        store: Arc<dyn Store>,
        policy: PolicyHandle,
        journal: Journal,
        telemetry: Telemetry,
    ) -> Result<Self, ServeError> {
        let settings = &config.admin;
        let logins = AuditedLogins::new(journal, policy.clone());
        let tokens = StoreTokens::new(Arc::clone(&store));
        let mut authenticator = Authenticator::new(Arc::new(tokens), Arc::new(logins))
            .with_certificates(settings.clients.clone());
        let provider = settings.oidc.clone().map(|oidc| Oidc::new(oidc).map(Arc::new)).transpose();
        let provider = provider.map_err(ServeError::Oidc)?;
        if let Some(provider) = &provider {
            authenticator = authenticator.with_oidc(Arc::clone(provider));
        }
        let client_certificates = match settings.client_cas.as_slice() {
            [] => None,
            bundle => Some(client_verifier(bundle.iter().cloned()).map_err(ServeError::ClientCas)?),
        };
        let parts = AdminParts {
            store,
            policy,
            authenticator: Arc::new(authenticator),
            deployment: config.deployment.clone(),
            anchor: config.trust.anchor(),
            approvals: settings.approvals,
            lease_bounds: config.lease_bounds,
            telemetry,
            config: AdminConfig {
                client_certificates,
                origins: vec![format!("https://{address}"), format!("https://localhost:{}", address.port())],
                ..AdminConfig::default()
            },
        };
        let identity: &ServerIdentity = settings.identity.as_ref().unwrap_or(&config.identity);
        Ok(Self { api: AdminApi::new(identity, parts).map_err(ServeError::Tls)?, provider })
    }

    /// Serves until told to stop.
    pub(super) async fn serve(self, listener: TcpListener, closing: CancellationToken) {
        let Self { api, provider } = self;
        let fresh: Option<JoinHandle<()>> = provider.map(|provider| {
            let closing = closing.clone();
            tokio::spawn(async move { provider.keep_fresh(closing).await })
        });
        api.serve(listener, closing).await;
        if let Some(fresh) = fresh {
            // It was told to stop as well.
            let _ = fresh.await;
        }
    }
}
