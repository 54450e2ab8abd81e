//! The port's TLS, and who comes with a certificate.

use http::StatusCode;
use rustls::version::{TLS12, TLS13};

use super::rig::{Call, Rig};

#[tokio::test]
async fn old_and_new_tls_are_spoken_and_nothing_is_resumed() {
    let rig = Rig::start("versions").await;
    for version in [&TLS12, &TLS13] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(rig.anchor.clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots)
            .with_no_client_auth();
        // The same configuration remembers sessions: the second handshake would resume.
        for _ in 0..2 {
            let stream = rig.connect(config.clone()).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!(kind, Some(rustls::HandshakeKind::Full));
            rig.call_over(stream, Call::get("/healthz")).await.expect(StatusCode::OK);
        }
    }
}
