use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::State, http::Uri, response::IntoResponse};
use http::{HeaderMap, HeaderValue, StatusCode};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use super::signer::Signer;
use crate::{
    admin::identity::{
        ClaimPath, Oidc, OidcConfig, OidcError, Principal, Role, RoleMap, Roles, WorkloadsFrom,
    },
    store::UnixMs,
};

/// Noon of some day.
pub(in crate::admin) const NOW: UnixMs = UnixMs(1_800_000_000_000);
pub(in crate::admin) const NOW_SECONDS: i64 = NOW.0 / 1_000;
pub(in crate::admin) const AUDIENCE: &str = "https://admin.example";

/// A provider on a loopback port that answers what it is told to.
pub(in crate::admin) struct Provider {
    pub(in crate::admin) issuer: String,
    answers: Arc<Answers>,
    asked: mpsc::UnboundedReceiver<String>,
    _server: AbortOnDropHandle<()>,
}

struct Answers {
    by_path: Mutex<HashMap<String, (StatusCode, String)>>,
    asked: mpsc::UnboundedSender<String>,
    forms: Mutex<Vec<(Option<String>, String)>>,
    /// One permit for each answer that may go out.
    gate: Semaphore,
}

impl Provider {
    /// With the keys of these signers.
    pub(in crate::admin) async fn start(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = issuer_at(listener.local_addr().unwrap());
        let (sender, asked) = mpsc::unbounded_channel();
        let answers = Arc::new(Answers {
            by_path: Mutex::default(),
            asked: sender,
            forms: Mutex::default(),
            gate: Semaphore::new(1_000),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&answers));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let provider = Self { issuer, answers, asked, _server: AbortOnDropHandle::new(server) };
        provider.publish(signers);
        provider
    }

    pub(in crate::admin) fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
        self.discovery(&self.metadata());
        self.set("/jwks", StatusCode::OK, &json!({"keys": keys}).to_string());
    }

    /// What its discovery document says.
    pub(in crate::admin) fn metadata(&self) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": format!("{}/jwks", self.issuer),
            "authorization_endpoint": format!("{}/auth?tenant=a", self.issuer),
            "token_endpoint": format!("{}/token", self.issuer),
        })
    }

    /// The forms that were sent to it, and their `Authorization`.
    pub(in crate::admin) fn forms(&self) -> Vec<(Option<String>, String)> {
        self.answers.forms.lock().unwrap().clone()
    }

    pub(in crate::admin) fn discovery(&self, document: &Value) {
        self.set("/.well-known/openid-configuration", StatusCode::OK, &document.to_string());
    }

    pub(in crate::admin) fn set(&self, path: &str, status: StatusCode, body: &str) {
        self.answers.by_path.lock().unwrap().insert(path.to_owned(), (status, body.to_owned()));
    }

    /// Lets no answer out until [`Provider::release`].
    pub(in crate::admin) fn hold(&self) {
        assert_eq!(self.answers.gate.forget_permits(1_000), 1_000);
    }

    pub(super) fn release(&self) {
        self.answers.gate.add_permits(1_000);
    }

    /// Waits for the next question.
    pub(super) async fn next_question(&mut self) -> String {
        self.asked.recv().await.unwrap()
    }

    /// The questions so far that nobody looked at.
    pub(super) fn questions(&mut self) -> usize {
        std::iter::from_fn(|| self.asked.try_recv().ok()).count()
    }

    pub(in crate::admin) fn config(&self) -> OidcConfig {
        config(&self.issuer)
    }

    pub(in crate::admin) fn claims(&self) -> Value {
        claims(&self.issuer)
    }
}

pub(in crate::admin) fn config(issuer: &str) -> OidcConfig {
    let roles = [
        ("countersign-admins".to_owned(), Role::Admin.into()),
        ("on-call".to_owned(), Roles::from(Role::Operator).with(Role::Viewer)),
    ];
    OidcConfig {
        issuer: issuer.parse().unwrap(),
        audience: AUDIENCE.to_owned(),
        roles_claim: ClaimPath::new("realm_access.roles").unwrap(),
        roles: RoleMap::new(roles).unwrap(),
        workloads: WorkloadsFrom::Everything,
        sign_in: None,
        ca_file: None,
    }
}

/// What a good token says.
pub(in crate::admin) fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "alice",
        "exp": NOW_SECONDS + 300,
        "nbf": NOW_SECONDS,
        "realm_access": {"roles": ["offline_access", "countersign-admins"]},
    })
}

fn issuer_at(address: SocketAddr) -> String {
    format!("http://{address}")
}

async fn answer(
    State(answers): State<Arc<Answers>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> impl IntoResponse {
    if !body.is_empty() {
        let shown = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        answers.forms.lock().unwrap().push((shown, body));
    }
    // Nobody listens any more when the test is over.
    let _ = answers.asked.send(uri.path().to_owned());
    let _out = answers.gate.acquire().await.unwrap();
    let found = answers.by_path.lock().unwrap().get(uri.path()).cloned();
    let (status, body) = found.unwrap_or((StatusCode::NOT_FOUND, String::new()));
    let mut headers = HeaderMap::new();
    if status.is_redirection() {
        headers.insert("location", HeaderValue::from_str(&body).unwrap());
    }
    (status, headers, body)
}

/// One provider with one P-256 key, and a proxy that trusts it.
pub(super) struct World {
    pub(super) provider: Provider,
    pub(super) signer: Signer,
    pub(super) oidc: Oidc,
    pub(super) start: Instant,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::of(Algorithm::ES256).await
    }

    pub(super) async fn of(algorithm: Algorithm) -> Self {
        let signer = Signer::new("key-1", algorithm);
        let provider = Provider::start(&[&signer]).await;
        let oidc = Oidc::new(provider.config()).unwrap();
        Self { provider, signer, oidc, start: Instant::now() }
    }

    pub(super) async fn judge(&self, token: &str) -> Result<Principal, OidcError> {
        self.after(Duration::ZERO, token).await
    }

    /// With keys that are so much older.
    pub(super) async fn after(&self, passed: Duration, token: &str) -> Result<Principal, OidcError> {
        self.oidc.authenticate_at(token, NOW, self.start + passed).await
    }

    /// Judges a good token in which one claim is another, or is not there.
    pub(super) async fn with_claim(&self, name: &str, value: Option<Value>) -> Result<Principal, OidcError> {
        let mut claims = self.provider.claims();
        match value {
            Some(value) => claims[name] = value,
            None => drop(claims.as_object_mut().unwrap().remove(name)),
        }
        self.judge(&self.signer.token(&claims)).await
    }
}
