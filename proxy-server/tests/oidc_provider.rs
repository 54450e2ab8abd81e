//! Tokens of a real OpenID provider: `oidc-provider` (certified by the OpenID
//! Foundation) in node, over loopback. `tests/setup/test.sh` installs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use countersign_proxy::{
    admin::identity::{
        ClaimPath, JwtRefused, Oidc, OidcConfig, OidcError, Role, RoleMap, Scope, WorkloadsFrom,
    },
    store::UnixMs,
};
use countersign_test_support::OidcProvider;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;

#[tokio::test]
async fn tokens_of_a_real_provider() {
    let Some(provider) = Provider::start() else { return };
    let oidc = Arc::new(Oidc::new(provider.config()).unwrap());
    for algorithm in ["RS256", "PS256", "ES256", "ES384", "EdDSA"] {
        let client = format!("admin-{algorithm}");
        let token = provider.token(&client, AUDIENCE).await;
        let principal = oidc.authenticate(&token, UnixMs::now()).await.unwrap();
        assert_eq!(principal.subject().as_str(), format!("oidc:{client}"));
        assert_eq!((principal.roles(), principal.scope()), (Role::Admin.into(), &Scope::Everything));
    }

    let judge = async |token: &str, now: UnixMs| match oidc.authenticate(token, now).await {
        Err(OidcError::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    };
    let now = UnixMs::now();
    let stranger = provider.token("stranger", AUDIENCE).await;
    assert_eq!(judge(&stranger, now).await, JwtRefused::NoRole);

    let other = provider.token("admin-ES256", "https://other.example").await;
    let expected =
        JwtRefused::Audience { expected: AUDIENCE.into(), found: "\"https://other.example\"".into() };
    assert_eq!(judge(&other, now).await, expected);

    let token = provider.token("admin-ES256", AUDIENCE).await;
    let later = UnixMs(now.0 + 600_000);
    assert!(matches!(judge(&token, later).await, JwtRefused::Expired { .. }));

    let (signed, _) = token.rsplit_once('.').unwrap();
    let (_, foreign) = other.rsplit_once('.').unwrap();
    assert_eq!(judge(&format!("{signed}.{foreign}"), now).await, JwtRefused::Signature);
}

const AUDIENCE: &str = "https://admin.example";

/// The provider's process, or nothing where it cannot be had.
struct Provider(OidcProvider);

impl Provider {
    fn start() -> Option<Self> {
        OidcProvider::start(&[]).map(Self)
    }

    fn config(&self) -> OidcConfig {
        OidcConfig {
            issuer: self.0.issuer.parse().unwrap(),
            audience: AUDIENCE.to_owned(),
            roles_claim: ClaimPath::new("realm_access.roles").unwrap(),
            roles: RoleMap::new([("countersign-admins".to_owned(), Role::Admin.into())]).unwrap(),
            workloads: WorkloadsFrom::Everything,
            sign_in: None,
            ca_file: None::<PathBuf>,
        }
    }

    /// RFC 6749 section 4.4, with a resource (RFC 8707).
    async fn token(&self, client: &str, resource: &str) -> String {
        let body = format!("grant_type=client_credentials&scope=countersign&resource={resource}");
        let basic = STANDARD.encode(format!("{client}:{client}-secret"));
        let request = Request::post(format!("{}/token", self.0.issuer))
            .header(header::AUTHORIZATION, format!("Basic {basic}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let http = Client::builder(TokioExecutor::new()).build_http();
        let response = timeout(REQUEST_DEADLINE, http.request(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
