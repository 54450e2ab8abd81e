use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::Algorithm;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::pki_types::CertificateDer;

use crate::{
    admin::identity::{
        ApiToken, AuthError, Authenticator, CertificateName, CertificateRule, CertificateRules,
        ClientNetwork, Credentials, FailedLogin, FailedLogins, Grant, Oidc, Principal, Role, Scope,
        TokenHash, TokenId, TokenLife, TokenRecord, Tokens,
        oidc::tests::{
            signer::Signer,
            world::{NOW, Provider},
        },
    },
    store::{Answer, StoreError, UnixMs},
};

/// Records in memory; the store's own suite shows that the database keeps the same promise.
#[derive(Default)]
struct Shelf {
    records: Mutex<HashMap<[u8; 32], TokenRecord>>,
    mood: Mutex<Mood>,
    asked: AtomicUsize,
    used: Mutex<Vec<(TokenId, UnixMs)>>,
}

#[derive(Clone, Copy, Default)]
enum Mood {
    #[default]
    Answers,
    AnswersAnother,
    Fails,
    Hangs,
}

impl Tokens for Shelf {
    fn find<'a>(&'a self, hash: &'a TokenHash) -> Answer<'a, Option<TokenRecord>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let mood = *self.mood.lock().unwrap();
            match mood {
                Mood::Answers => Ok(self.records.lock().unwrap().get(hash.as_bytes()).cloned()),
                Mood::AnswersAnother => Ok(self.records.lock().unwrap().values().next().cloned()),
                Mood::Fails => Err(StoreError::Absent { place: "store".into() }),
                Mood::Hangs => std::future::pending().await,
            }
        })
    }

    fn used(&self, id: &TokenId, at: UnixMs) {
        self.used.lock().unwrap().push((*id, at));
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<FailedLogin>>);

impl FailedLogins for Heard {
    fn failed(&self, failure: FailedLogin) {
        self.0.lock().unwrap().push(failure);
    }
}

struct Rig {
    shelf: Arc<Shelf>,
    heard: Arc<Heard>,
    authenticator: Authenticator,
}

impl Rig {
    fn new() -> Self {
        let (shelf, heard) = (Arc::new(Shelf::default()), Arc::new(Heard::default()));
        let authenticator = Authenticator::new(Arc::clone(&shelf) as _, Arc::clone(&heard) as _);
        Self { shelf, heard, authenticator }
    }

    fn token(&self) -> (String, TokenRecord) {
        let grant = Grant::danger_of_the_machine("root", Role::Operator.into(), "a".parse().unwrap());
        let life = TokenLife::new(Duration::from_secs(3_600)).unwrap();
        let (token, record) = TokenRecord::make(grant, "ci".parse().unwrap(), life, NOW).unwrap();
        self.keep(&record);
        (token.reveal().to_string(), record)
    }

    fn keep(&self, record: &TokenRecord) {
        self.shelf.records.lock().unwrap().insert(*record.hash.as_bytes(), record.clone());
    }

    async fn bearer(&self, text: &str, client: &str) -> Result<Principal, AuthError> {
        self.authenticator.authenticate(&bearer(text), address(client), NOW).await
    }

    async fn code(&self, text: &str, client: &str) -> &'static str {
        self.bearer(text, client).await.unwrap_err().code()
    }

    fn asked(&self) -> usize {
        self.shelf.asked.swap(0, Ordering::Relaxed)
    }

    fn heard(&self) -> Vec<FailedLogin> {
        std::mem::take(&mut self.heard.0.lock().unwrap())
    }
}

fn bearer(text: &str) -> Credentials {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {text}")).unwrap());
    Credentials::find(&headers, None).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn stranger() -> String {
    ApiToken::generate().unwrap().reveal().to_string()
}

const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "192.0.2.2";

/// Handlers run on any thread.
#[test]
fn a_login_may_move_between_threads() {
    fn may_move<T: Send>(_: T) {}
    let rig = Rig::new();
    may_move(rig.authenticator.authenticate(&bearer("x"), address(HERE), NOW));
}

#[tokio::test]
async fn a_token_is_somebody_until_it_ends() {
    let rig = Rig::new();
    let (text, mut record) = rig.token();
    let holder = rig.bearer(&text, HERE).await.unwrap();
    assert_eq!(holder.subject().as_str(), format!("token:{}", record.id));
    assert_eq!((holder.roles(), holder.scope()), (Role::Operator.into(), &"a".parse().unwrap()));

    record.revoked = Some(NOW);
    rig.keep(&record);
    let error = rig.bearer(&text, HERE).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("token-revoked", 401));
    assert_eq!(error.www_authenticate(), Some("Bearer realm=\"countersign\", error=\"invalid_token\""));
    let heard = rig.heard();
    assert_eq!(heard[0].subject.as_ref().unwrap().as_str(), format!("token:{}", record.id));

    record.revoked = None;
    record.expires = NOW;
    rig.keep(&record);
    assert_eq!(rig.code(&text, HERE).await, "token-expired");
}

#[tokio::test]
async fn a_typo_is_told_from_a_token_that_nobody_made() {
    let rig = Rig::new();
    let (text, _) = rig.token();
    let error = rig.bearer(&stranger(), HERE).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("token-unknown", 401));
    assert_eq!(rig.asked(), 1);
    let error = rig.bearer(&text[..text.len() - 1], HERE).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("token-mistyped", 401));
    assert_eq!(rig.asked(), 0, "the store is not asked for a typo");
    assert_eq!(rig.code("e30.e30.e30", HERE).await, "oidc-not-configured");
    *rig.shelf.mood.lock().unwrap() = Mood::AnswersAnother;
    assert_eq!(rig.code(&stranger(), HERE).await, "token-unknown", "a store that answers too much");
}

#[tokio::test]
async fn use_is_noted_once_a_minute() {
    let rig = Rig::new();
    let (text, mut record) = rig.token();
    let used = || std::mem::take(&mut *rig.shelf.used.lock().unwrap());
    for (last, noted) in
        [(None, true), (Some(UnixMs(NOW.0 - 59_999)), false), (Some(UnixMs(NOW.0 - 60_000)), true)]
    {
        record.last_used = last;
        rig.keep(&record);
        rig.bearer(&text, HERE).await.unwrap();
        assert_eq!(used(), if noted { vec![(record.id, NOW)] } else { vec![] }, "{last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_nobodys_failure() {
    let rig = Rig::new();
    for mood in [Mood::Fails, Mood::Hangs] {
        *rig.shelf.mood.lock().unwrap() = mood;
        for _ in 0..20 {
            let error = rig.bearer(&stranger(), HERE).await.unwrap_err();
            assert_eq!((error.code(), error.status()), ("store-unavailable", 503));
            assert_eq!(error.to_string(), "the store cannot be asked now: try again");
        }
    }
    assert_eq!(rig.heard(), []);
}

#[tokio::test(start_paused = true)]
async fn failures_make_a_network_wait_and_others_not() {
    let rig = Rig::new();
    for _ in 0..6 {
        assert_eq!(rig.code(&stranger(), "2001:db8::1").await, "token-unknown");
    }
    assert_eq!(rig.asked(), 6);
    let error = rig.bearer(&stranger(), "2001:db8::ffff").await.unwrap_err();
    assert_eq!((error.code(), error.status(), error.retry_after()), ("too-many-failures", 429, Some(1)));
    assert_eq!(rig.asked(), 0, "the store is spared");
    assert_eq!(rig.code(&stranger(), "2001:db8:0:1::1").await, "token-unknown");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(rig.code(&stranger(), "2001:db8::1").await, "token-unknown");
    let error = rig.bearer(&stranger(), "2001:db8::1").await.unwrap_err();
    assert_eq!(error.retry_after(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_attacker_behind_the_same_address_locks_nobody_out_who_was_in() {
    let rig = Rig::new();
    let ((known, mut record), (fresh, _)) = (rig.token(), rig.token());
    rig.bearer(&known, ELSEWHERE).await.unwrap();
    for _ in 0..6 {
        rig.bearer(&stranger(), HERE).await.unwrap_err();
    }
    for _ in 0..1_000 {
        assert!(rig.bearer(&known, HERE).await.is_ok(), "and as often as it likes");
    }
    assert_eq!(rig.code(&stranger(), HERE).await, "too-many-failures", "a success forgives nothing");
    assert_eq!(rig.code(&fresh, HERE).await, "too-many-failures", "a right token that nobody saw yet");
    assert!(rig.bearer(&fresh, ELSEWHERE).await.is_ok());
    assert!(rig.bearer(&fresh, HERE).await.is_ok(), "now it was seen");

    // To be known is not to be let in.
    record.revoked = Some(NOW);
    rig.keep(&record);
    assert_eq!(rig.code(&known, HERE).await, "token-revoked");
    assert_eq!(rig.code(&known, HERE).await, "too-many-failures");
}

#[tokio::test(start_paused = true)]
async fn failures_are_reported_and_do_not_flood() {
    let rig = Rig::new();
    for _ in 0..10 {
        rig.bearer(&stranger(), HERE).await.unwrap_err();
    }
    let report = |failures, unreported| FailedLogin {
        network: ClientNetwork::of(address(HERE)),
        code: "token-unknown",
        subject: None,
        failures,
        unreported,
    };
    // Six were judged; the four after them waited.
    assert_eq!(rig.heard(), [report(1, 0), report(2, 0), report(4, 1)]);
    tokio::time::advance(Duration::from_secs(1)).await;
    rig.bearer(&stranger(), HERE).await.unwrap_err();
    tokio::time::advance(Duration::from_secs(2)).await;
    rig.bearer(&stranger(), HERE).await.unwrap_err();
    assert_eq!(rig.heard(), [report(8, 7)], "5, 6, four that waited, 7");
}

#[tokio::test]
async fn a_jwt_and_a_certificate_are_somebody_too() {
    let signer = Signer::new("key-1", Algorithm::ES256);
    let provider = Provider::start(&[&signer]).await;
    let rules = CertificateRules::new([CertificateRule {
        name: CertificateName::Uri("spiffe://corp/alice".into()),
        roles: Role::Approver.into(),
        scope: Scope::Everything,
    }]);
    let rig = Rig::new();
    let rig = Rig {
        authenticator: rig
            .authenticator
            .with_oidc(Arc::new(Oidc::new(provider.config()).unwrap()))
            .with_certificates(rules.unwrap()),
        ..rig
    };
    let alice = rig.bearer(&signer.token(&provider.claims()), HERE).await.unwrap();
    assert_eq!(alice.subject().as_str(), "oidc:alice");
    let mut claims = provider.claims();
    claims["realm_access"] = serde_json::json!({"roles": []});
    let error = rig.bearer(&signer.token(&claims), HERE).await.unwrap_err();
    assert_eq!((error.code(), error.status(), error.www_authenticate()), ("no-role", 403, None));
    claims["exp"] = 1.into();
    let error = rig.bearer(&signer.token(&claims), HERE).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("jwt-expired", 401));

    let certificate = async |name: &str| {
        let credentials = Credentials::find(&HeaderMap::new(), Some(&with_uri(name))).unwrap();
        rig.authenticator.authenticate(&credentials, address(HERE), NOW).await
    };
    let alice = certificate("spiffe://corp/alice").await.unwrap();
    assert_eq!(alice.subject().as_str(), "cert:uri:spiffe://corp/alice");
    let error = certificate("spiffe://corp/bob").await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("certificate-unknown", 403));
}

fn with_uri(name: &str) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}
