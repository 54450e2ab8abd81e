//! The port's TLS, who comes with a certificate, and both versions of HTTP.

use http::StatusCode;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, HandshakeKind,
    pki_types::{CertificateDer, PrivateKeyDer},
    version::{TLS12, TLS13},
};
use serde_json::json;

use super::rig::{Call, Rig, Setup};
use crate::admin::{
    AdminConfig,
    identity::{CertificateName, CertificateRule, CertificateRules, Role, client_verifier},
};

#[tokio::test]
async fn old_and_new_tls_are_spoken_and_nothing_is_resumed() {
    let rig = Rig::start("versions").await;
    for version in [&TLS12, &TLS13] {
        let config = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(rig.roots())
            .with_no_client_auth();
        // The same configuration remembers sessions: the second handshake would resume.
        for _ in 0..2 {
            let stream = rig.connect(config.clone()).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
            rig.call_over(stream, Call::get("/healthz")).await.expect(StatusCode::OK);
        }
    }
}

/// A CA and somebody it knows.
struct Ca {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// What a client of this name shows.
    fn client(&self, rig: &Rig, name: &str) -> ClientConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let chain = vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        ClientConfig::builder().with_root_certificates(rig.roots()).with_client_auth_cert(chain, key).unwrap()
    }
}

#[tokio::test]
async fn a_certificate_is_somebody_and_one_of_another_ca_is_nobody() {
    let ca = Ca::new();
    let rule = CertificateRule {
        name: CertificateName::Dns("alice.example".to_owned()),
        roles: Role::Operator.into(),
        scope: "payments".parse().unwrap(),
    };
    let verifier = client_verifier([ca.certificate.clone()]).unwrap();
    let config = AdminConfig { client_certificates: Some(verifier), ..AdminConfig::default() };
    let certificates = CertificateRules::new([rule]).unwrap();
    let rig = Rig::with("certificates", Setup { config, certificates, ..Setup::default() }).await;

    let alice = rig.connect(ca.client(&rig, "alice.example")).await.unwrap();
    let who = rig.call_over(alice, Call::get("/v1/whoami")).await.expect(StatusCode::OK);
    assert_eq!((&who.body["roles"], &who.body["workloads"]), (&json!(["operator"]), &json!(["payments"])));

    let bob = rig.connect(ca.client(&rig, "bob.example")).await.unwrap();
    let nobody = rig.call_over(bob, Call::get("/v1/whoami")).await;
    assert_eq!(nobody.status, StatusCode::FORBIDDEN, "{}", nobody.body);

    // A browser would send Alice's certificate for whatever page asks it to.
    let alice = rig.connect(ca.client(&rig, "alice.example")).await.unwrap();
    let page = Call::get("/v1/whoami").header("origin", "https://evil.example");
    rig.call_over(alice, page).await.problem(403, "foreign-origin");

    let admin = rig.admin().await;
    let alice = rig.connect(ca.client(&rig, "alice.example")).await.unwrap();
    rig.call_over(alice, Call::get("/v1/whoami").with(&admin)).await.problem(400, "two-credentials");

    // TLS 1.3 tells a client of the refusal with its first read.
    let stranger = rig.connect(Ca::new().client(&rig, "alice.example")).await;
    if let Ok(mut stream) = stranger {
        let mut byte = [0];
        assert!(tokio::io::AsyncReadExt::read_exact(&mut stream, &mut byte).await.is_err());
    }
    rig.call(Call::get("/v1/whoami").with(&admin)).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn both_versions_of_http_are_spoken() {
    let rig = Rig::start("http2").await;
    let admin = rig.admin().await;
    let mut config = rig.tls();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = rig.connect(config).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let mut request = Call::get("/v1/whoami").with(&admin).request();
        request.headers_mut().remove("host");
        *request.uri_mut() = "https://localhost/v1/whoami".parse().unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!((response.status(), response.version()), (StatusCode::OK, http::Version::HTTP_2));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("token:"));
    }
}
