use http::Uri;
use serde::Deserialize;

use super::super::{ProviderUnavailable, issuer::Transport};

/// Where people are sent to sign in, and where their codes are redeemed.
#[derive(Clone, Debug)]
pub(in crate::admin::identity::oidc) struct Endpoints {
    pub(super) authorization: String,
    pub(super) token: String,
    pub(super) issuer_told: IssuerTold,
    pub(super) client_shows: ClientShows,
}

/// RFC 9207: whether the provider names itself in its redirects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IssuerTold {
    /// It said that it does: a redirect without its name is not its own.
    Always,
    /// It did not say so.
    Maybe,
}

/// How a client shows its secret (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientShows {
    /// In the header `Authorization`.
    Basic,
    /// In the form.
    Form,
}

/// What discovery says of signing in: RFC 8414 section 2, OpenID Connect Discovery 1.0 section 3.
#[derive(Default, Deserialize)]
pub(in crate::admin::identity::oidc) struct Metadata {
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    authorization_response_iss_parameter_supported: Option<bool>,
}

impl Endpoints {
    /// A provider may be one for tokens alone: whoever wants to sign people in asks whether it is more.
    pub(in crate::admin::identity::oidc) fn read(
        metadata: Metadata,
        transport: Transport,
    ) -> Result<Self, ProviderUnavailable> {
        let Metadata {
            authorization_endpoint,
            token_endpoint,
            token_endpoint_auth_methods_supported: methods,
            authorization_response_iss_parameter_supported: told,
        } = metadata;
        let named = |url: Option<String>, name: &'static str| {
            let url = url.ok_or(ProviderUnavailable::NoEndpoint { name })?;
            // RFC 6749 section 3.1: "The endpoint URI MUST NOT include a fragment component."
            let allowed = url.parse::<Uri>().is_ok_and(|target| transport.allows(&target));
            match allowed && !url.contains('#') {
                true => Ok(url),
                false => Err(ProviderUnavailable::Elsewhere { found: url.chars().take(512).collect() }),
            }
        };
        let can = |method: &str| methods.iter().flatten().any(|known| known == method);
        Ok(Self {
            authorization: named(authorization_endpoint, "authorization_endpoint")?,
            token: named(token_endpoint, "token_endpoint")?,
            issuer_told: if told == Some(true) { IssuerTold::Always } else { IssuerTold::Maybe },
            // Discovery 1.0 section 3: "If omitted, the default is `client_secret_basic`".
            client_shows: match can("client_secret_post") && !can("client_secret_basic") {
                true => ClientShows::Form,
                false => ClientShows::Basic,
            },
        })
    }
}
