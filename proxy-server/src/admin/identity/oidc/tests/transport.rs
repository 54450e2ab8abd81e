//! What lies between the proxy and the provider.

use std::{fs, path::PathBuf, sync::Arc};

use axum::{Router, response::Redirect, routing::get};
use http::StatusCode;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use jsonwebtoken::Algorithm;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::{
    signer::Signer,
    world::{NOW, World, claims, config},
};
use crate::admin::identity::{
    BadOidcConfig, Oidc, OidcConfig, OidcError, ProviderUnavailable, oidc::fetch::MAX_BYTES,
};

const DISCOVERY: &str = "/.well-known/openid-configuration";

async fn unavailable(world: &World) -> ProviderUnavailable {
    match world.judge(&world.signer.token(&world.provider.claims())).await {
        Err(OidcError::Unavailable(unavailable)) => unavailable,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_discovered_issuer_is_the_configured_one() {
    let world = World::new().await;
    let expected = world.provider.issuer.clone();
    let jwks_uri = format!("{expected}/jwks");
    for found in [format!("{expected}/"), "https://evil.example".to_owned()] {
        let world = World::new().await;
        world.provider.discovery(&json!({"issuer": found, "jwks_uri": jwks_uri}));
        let expected = world.provider.issuer.clone();
        assert_eq!(unavailable(&world).await, ProviderUnavailable::IssuerDiffers { expected, found });
    }
}

#[tokio::test]
async fn keys_come_over_tls_or_from_loopback() {
    for found in
        ["http://169.254.169.254/latest/meta-data", "http://keys.example/", "file:///etc/passwd", "", "/jwks"]
    {
        let world = World::new().await;
        world.provider.discovery(&json!({"issuer": world.provider.issuer, "jwks_uri": found}));
        assert_eq!(unavailable(&world).await, ProviderUnavailable::Elsewhere { found: found.into() });
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_apart() {
    let world = World::new().await;
    let url = format!("{}{DISCOVERY}", world.provider.issuer);
    world.provider.set(DISCOVERY, StatusCode::NOT_FOUND, "");
    assert_eq!(unavailable(&world).await, ProviderUnavailable::Status { url, status: 404 });

    let world = World::new().await;
    let url = format!("{}/jwks", world.provider.issuer);
    world.provider.set("/jwks", StatusCode::FOUND, &format!("{}/other", world.provider.issuer));
    assert_eq!(unavailable(&world).await, ProviderUnavailable::Status { url, status: 302 }, "not followed");

    let world = World::new().await;
    let url = format!("{}/jwks", world.provider.issuer);
    world.provider.set("/jwks", StatusCode::OK, &" ".repeat(MAX_BYTES + 1));
    assert_eq!(unavailable(&world).await, ProviderUnavailable::TooLarge { url, max: MAX_BYTES });

    let world = World::new().await;
    world.provider.set("/jwks", StatusCode::OK, "<html>");
    assert!(
        matches!(unavailable(&world).await, ProviderUnavailable::Json { url, .. } if url.ends_with("/jwks"))
    );
}

/// Time stands still, and runs to the next timer when nothing else is to do:
/// the deadline, since the provider says nothing.
#[tokio::test(start_paused = true)]
async fn a_provider_that_says_nothing_is_not_waited_for() {
    let world = World::new().await;
    world.provider.hold();
    assert_eq!(unavailable(&world).await, ProviderUnavailable::Deadline);
}

#[tokio::test]
async fn a_provider_that_is_not_there() {
    let world = World::new().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let oidc = Oidc::new(config(&format!("http://{closed}"))).unwrap();
    let token = world.signer.token(&world.provider.claims());
    let judged = oidc.authenticate_at(&token, NOW, world.start).await;
    assert!(
        matches!(judged, Err(OidcError::Unavailable(ProviderUnavailable::Connection { .. }))),
        "{judged:?}"
    );
}

/// A provider behind TLS, under a CA of its own.
struct TlsProvider {
    issuer: String,
    ca_pem: String,
    signer: Signer,
    _server: AbortOnDropHandle<()>,
}

impl TlsProvider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (issuer, signer) = (format!("https://{address}"), Signer::new("key-1", Algorithm::ES256));
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::default();
        leaf.subject_alt_names = vec![SanType::IpAddress(address.ip())];
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let discovery = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks")});
        let router = router(discovery, json!({"keys": [signer.jwk()]}));
        let server = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), router));
        Self { issuer, ca_pem, signer, _server: AbortOnDropHandle::new(server) }
    }

    async fn judge(&self, ca_file: Option<PathBuf>) -> Result<String, OidcError> {
        let oidc = Oidc::new(OidcConfig { ca_file, ..config(&self.issuer) }).unwrap();
        let token = self.signer.token(&claims(&self.issuer));
        oidc.authenticate(&token, NOW).await.map(|principal| principal.subject().to_string())
    }
}

fn router(discovery: Value, keys: Value) -> Router {
    Router::new()
        .route(DISCOVERY, get(move || async move { discovery.to_string() }))
        .route("/jwks", get(move || async move { keys.to_string() }))
        .fallback(|| async { Redirect::to("/") })
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, router: Router) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, service) = (tls.clone(), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            // A client that does not trust this CA goes away in the handshake.
            let Ok(stream) = tls.accept(stream).await else { return };
            let served =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = served.await;
        });
    }
}

#[tokio::test]
async fn tls_needs_a_ca_that_is_trusted() {
    let provider = TlsProvider::start().await;
    let judged = provider.judge(None).await;
    let Err(OidcError::Unavailable(ProviderUnavailable::Connection { cause, .. })) = judged else {
        panic!("{judged:?}")
    };
    assert!(cause.contains("UnknownIssuer"), "{cause}");

    let file = File::new("ca.pem", &provider.ca_pem);
    assert_eq!(provider.judge(Some(file.0.clone())).await, Ok("oidc:alice".to_owned()));
    let other = File::new("other.pem", &TlsProvider::start().await.ca_pem);
    assert!(provider.judge(Some(other.0.clone())).await.is_err());
}

#[test]
fn a_file_of_cas_must_hold_some() {
    let with = |path: PathBuf| Oidc::new(OidcConfig { ca_file: Some(path), ..config("https://id.example") });
    assert!(matches!(with("absent.pem".into()), Err(BadOidcConfig::CaFile { .. })));
    for (name, text) in [
        ("empty.pem", ""),
        ("no-pem.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
        ("no-certificate.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
    ] {
        let file = File::new(name, text);
        assert!(matches!(with(file.0.clone()), Err(BadOidcConfig::NotCas { .. })), "{name}");
    }
}

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-oidc-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
