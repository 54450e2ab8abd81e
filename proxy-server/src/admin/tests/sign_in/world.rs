//! A provider, a proxy that is its client, and a browser between them.

use std::sync::Arc;

use countersign_test_support::logs;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::super::rig::{Call, Reply, Rig, Setup};
use crate::{
    admin::identity::{
        ClientSecret, Oidc, OidcConfig, SignInConfig,
        oidc_tests::{
            signer::Signer,
            world::{Provider, config},
        },
    },
    store::UnixMs,
};

pub(super) const HOST: &str = "proxy.example:9443";
pub(super) const CALLBACK: &str = "https://proxy.example:9443/ui/sign-in/callback";
pub(super) const PENDING: &str = "__Host-countersign-sign-in";

/// What `tests/oidc/server.mjs` knows of the client `web`.
pub(super) const SECRET: &str = "planted-client-secret-0b7e";

/// A proxy that is the client `web` of this provider.
pub(super) async fn rig(name: &str, issuer: &str) -> Rig {
    logs::plant("client secret", SECRET);
    let sign_in = SignInConfig {
        client_id: "web".to_owned(),
        client_secret: Some(ClientSecret::new(SECRET).unwrap()),
        public_url: "https://proxy.example:9443".parse().unwrap(),
        scopes: vec!["profile".to_owned()],
        name: "Example".to_owned(),
    };
    let oidc = Oidc::new(OidcConfig { sign_in: Some(sign_in), ..config(issuer) }).unwrap();
    Rig::with(name, Setup { oidc: Some(Arc::new(oidc)), ..Setup::default() }).await
}

/// A browser: its cookies, and what it says of where it comes from.
pub(super) struct Browser<'r> {
    pub(super) rig: &'r Rig,
    pub(super) cookies: Vec<(String, String)>,
}

impl<'r> Browser<'r> {
    pub(super) fn new(rig: &'r Rig) -> Self {
        Self { rig, cookies: Vec::new() }
    }

    /// Follows a link of the page itself.
    pub(super) async fn get(&mut self, path: &str) -> Reply {
        self.visit(path, "same-origin").await
    }

    /// Comes by a link or redirect of another site: `Strict` cookies stay at home.
    pub(super) async fn come(&mut self, path: &str) -> Reply {
        self.visit(path, "cross-site").await
    }

    pub(super) async fn visit(&mut self, path: &str, site: &str) -> Reply {
        let sent = |name: &str| site == "same-origin" || name == PENDING;
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .filter(|(name, _)| sent(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let call =
            Call::get(path).to(HOST).header("sec-fetch-site", site).header("sec-fetch-mode", "navigate");
        let reply = self
            .rig
            .call(call.header("sec-fetch-dest", "document").header("cookie", &cookies.join("; ")))
            .await;
        for set in reply.headers.get_all("set-cookie") {
            let set = set.to_str().unwrap();
            assert!(set.contains("; Path=/; Secure; HttpOnly; SameSite="), "{set}");
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !set.contains("Max-Age=0") {
                logs::plant("cookie", value);
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        reply
    }

    /// Presses the button: where it leads to.
    pub(super) async fn begin(&mut self) -> String {
        let reply = self.get("/ui/sign-in/provider").await.expect(StatusCode::SEE_OTHER);
        reply.header("location").to_owned()
    }

    pub(super) async fn is_signed_in(&mut self) -> bool {
        self.get("/ui/").await.status == StatusCode::OK
    }

    /// Comes back, and must stay outside.
    #[track_caller]
    pub(super) fn refused(reply: &Reply, status: StatusCode) {
        assert_eq!(reply.status, status, "{}", reply.body);
        let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        assert!(cookies[0].to_str().unwrap().starts_with("__Host-countersign-sign-in=;"), "{cookies:?}");
    }
}

/// One parameter of a URL's query, decoded.
#[track_caller]
pub(super) fn parameter(url: &str, name: &str) -> String {
    let query: Vec<(String, String)> = axum::extract::Query::try_from_uri(&url.parse().unwrap())
        .map(|axum::extract::Query(all)| all)
        .unwrap();
    let mut found = query.into_iter().filter(|(found, _)| found == name);
    let (_, value) = found.next().unwrap_or_else(|| panic!("no {name} in {url}"));
    assert_eq!(found.next(), None, "{url}");
    value
}

/// What the provider's ID token says to an attempt.
pub(super) fn claims(provider: &Provider, nonce: &str) -> Value {
    let now = UnixMs::now().0 / 1000;
    json!({
        "iss": provider.issuer, "aud": "web", "sub": "alice", "nonce": nonce, "iat": now, "exp": now + 300,
        "realm_access": { "roles": ["countersign-admins"] },
    })
}

pub(super) fn token(signer: &Signer, claims: &Value) -> String {
    let token = signer.sign(&json!({ "alg": "ES256", "kid": signer.kid, "typ": "JWT" }), claims);
    logs::plant("ID token", token.rsplit('.').next().unwrap());
    token
}

/// A provider that answers what it is told to, and a proxy that is its client.
pub(super) struct World {
    pub(super) provider: Provider,
    pub(super) signer: Signer,
    pub(super) rig: Rig,
}

impl World {
    pub(super) async fn new(name: &str) -> Self {
        let signer = Signer::new("key-1", Algorithm::ES256);
        let provider = Provider::start(&[&signer]).await;
        let rig = rig(name, &provider.issuer).await;
        Self { provider, signer, rig }
    }

    /// The token endpoint gives a token with these claims.
    pub(super) fn gives(&self, claims: &Value) {
        let answer = json!({ "access_token": "unused", "token_type": "Bearer", "id_token": token(&self.signer, claims) });
        self.provider.set("/token", StatusCode::OK, &answer.to_string());
    }

    /// Signs in with a token that is changed like this.
    pub(super) async fn with(&self, change: impl FnOnce(&mut Value)) -> Reply {
        let mut browser = Browser::new(&self.rig);
        let url = browser.begin().await;
        let mut claims = claims(&self.provider, &parameter(&url, "nonce"));
        change(&mut claims);
        self.gives(&claims);
        browser.come(&back(&url, "code=c")).await
    }
}

/// The path that the provider sends the browser back to.
pub(super) fn back(url: &str, what: &str) -> String {
    format!("/ui/sign-in/callback?{what}&state={}", parameter(url, "state"))
}

/// The provider's pages, as a browser goes through them: to the path it sends it back to.
pub(super) async fn at_provider(url: &str, account: &str) -> String {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let origin = url.split('/').take(3).collect::<Vec<_>>().join("/");
    let (mut cookies, mut next, mut form) = (Vec::<String>::new(), url.to_owned(), None::<String>);
    for _ in 0..6 {
        let request = Request::builder().uri(&next).header("cookie", cookies.join("; "));
        let request = match form.take() {
            None => request.body(Full::default()),
            Some(form) => {
                let request =
                    request.method("POST").header("content-type", "application/x-www-form-urlencoded");
                request.body(Full::<bytes::Bytes>::from(form))
            }
        };
        let response = client.request(request.unwrap()).await.unwrap();
        for set in response.headers().get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let name = pair.split('=').next().unwrap();
            cookies.retain(|known| known.split('=').next() != Some(name));
            cookies.push(pair.to_owned());
        }
        if response.status() == StatusCode::OK {
            form = Some(format!("account={account}"));
            continue;
        }
        let status = response.status();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        let Some(location) = location else {
            panic!("{status}: {:?}", response.into_body().collect().await.unwrap().to_bytes());
        };
        if let Some(path) = location.strip_prefix("https://proxy.example:9443") {
            return path.to_owned();
        }
        next = if location.starts_with('/') { format!("{origin}{location}") } else { location };
    }
    panic!("the provider leads nowhere");
}
