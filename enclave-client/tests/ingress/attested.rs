//! The attestation of a key made in the enclave, and attacks on it.

use countersign_enclave::ingress::IngressLimits;
use countersign_protocol::ingress::{ATTEST_ALPN, ATTESTATION_PATH};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, duplex},
    time::Duration,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    caller::{self, NONCE, answer, ask, connect, verify},
    rig::{Rig, attested},
};

const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];

#[tokio::test]
async fn a_caller_verifies_whom_it_is_connected_to() {
    let rig = Rig::attested().await;
    for alpn in [HTTP, &[ATTEST_ALPN]] {
        let mut caller = connect(rig.connect().await, alpn).await;
        let (status, body) = ask(&mut caller, &NONCE).await;
        assert_eq!(status, 200, "{body}");
        verify(&rig.root_der, &caller, &NONCE, &body).unwrap();
    }
}

#[tokio::test]
async fn the_attested_connection_itself_carries_the_traffic() {
    let rig = Rig::attested().await;
    let mut caller = connect(rig.connect().await, &[ATTEST_ALPN]).await;
    for nonce in [[1; 16], [2; 16]] {
        let (_, body) = ask(&mut caller, &nonce).await;
        verify(&rig.root_der, &caller, &nonce, &body).unwrap();
    }
    caller.write_all(b"SSH-2.0-whatever\r\n").await.unwrap();
    let (mut application, _) = rig.application.accept().await.unwrap();
    let mut seen = [0; 18];
    application.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"SSH-2.0-whatever\r\n");
    // From now on the path is the application's as well.
    let again = format!("GET {ATTESTATION_PATH}?nonce={} HTTP/1.1\r\n\r\n", hex::encode(NONCE));
    caller.write_all(again.as_bytes()).await.unwrap();
    let mut seen = vec![0; again.len()];
    application.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, again.as_bytes());
}

#[tokio::test]
async fn what_follows_in_the_same_packet_reaches_the_application() {
    let rig = Rig::attested().await;
    let mut caller = connect(rig.connect().await, HTTP).await;
    let nonce = hex::encode(NONCE);
    let both = format!("GET {ATTESTATION_PATH}?nonce={nonce} HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    caller.write_all(both.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut caller).await.0, 200);
    let (mut application, _) = rig.application.accept().await.unwrap();
    let mut seen = [0; 18];
    application.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"GET / HTTP/1.1\r\n\r\n");
}

#[tokio::test]
async fn a_caller_that_names_no_protocol_is_never_looked_at() {
    let rig = Rig::attested().await;
    // `postgresql` is no word of ours: it is as good as none.
    for alpn in [&[][..], &[b"postgresql" as &[u8]]] {
        let mut caller = connect(rig.connect().await, alpn).await;
        assert_eq!(caller.get_ref().1.alpn_protocol(), None);
        let request = format!("GET {ATTESTATION_PATH}?nonce={} HTTP/1.1\r\n\r\n", hex::encode(NONCE));
        caller.write_all(request.as_bytes()).await.unwrap();
        let (mut application, _) = rig.application.accept().await.unwrap();
        let mut seen = vec![0; request.len()];
        application.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, request.as_bytes());
    }
}

#[tokio::test]
async fn a_silent_caller_is_handed_to_the_application() {
    let limits = IngressLimits { first_bytes: Duration::from_millis(20), ..IngressLimits::default() };
    let rig = Rig::with_limits(attested(), limits).await;
    let mut caller = connect(rig.connect().await, HTTP).await;
    caller.write_all(b"GET /.well-kn").await.unwrap();
    let (mut application, _) = rig.application.accept().await.unwrap();
    let mut seen = [0; 13];
    application.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"GET /.well-kn");
}

#[tokio::test]
async fn a_caller_that_wants_the_attestation_only_never_reaches_the_application() {
    let rig = Rig::attested().await;
    let mut caller = connect(rig.connect().await, HTTP).await;
    assert_eq!(ask(&mut caller, &NONCE).await.0, 200);
    caller.shutdown().await.unwrap();
    assert_eq!(caller.read(&mut [0; 1]).await.unwrap(), 0);
    // The next one is the first that the application sees.
    let mut next = connect(rig.connect().await, &[]).await;
    next.write_all(b"next").await.unwrap();
    let (mut application, _) = rig.application.accept().await.unwrap();
    let mut seen = [0; 4];
    application.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"next");
}

#[tokio::test]
async fn a_wrong_question_is_told_what_is_wrong() {
    let rig = Rig::attested().await;
    let mut caller = connect(rig.connect().await, HTTP).await;
    let (status, body) = ask(&mut caller, &[1; 15]).await;
    assert_eq!((status, &body["code"]), (400, &"bad-request".into()));
    assert_eq!(body["detail"], "the nonce has 15 bytes; 16 to 64 are possible");
    assert_eq!(caller.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_replayed_document_is_refused() {
    let rig = Rig::attested().await;
    let mut caller = connect(rig.connect().await, HTTP).await;
    let (_, body) = ask(&mut caller, &NONCE).await;
    let refusal = verify(&rig.root_der, &caller, &[7; 32], &body).unwrap_err();
    assert_eq!(refusal.code(), "nonce-mismatch");
}

#[tokio::test]
async fn a_document_of_another_connection_is_refused() {
    let rig = Rig::attested().await;
    let mut attacker = connect(rig.connect().await, HTTP).await;
    let (_, body) = ask(&mut attacker, &NONCE).await;
    let victim = connect(rig.connect().await, HTTP).await;
    // The same key and the same nonce; only the connection differs.
    assert_eq!(caller::spki(&victim), caller::spki(&attacker));
    let refusal = verify(&rig.root_der, &victim, &NONCE, &body).unwrap_err();
    assert_eq!(refusal.code(), "user-data-mismatch");
}

#[tokio::test]
async fn a_document_about_another_key_is_refused() {
    let (here, there) = (Rig::attested().await, Rig::attested().await);
    let mut elsewhere = connect(there.connect().await, HTTP).await;
    let (_, body) = ask(&mut elsewhere, &NONCE).await;
    let victim = connect(here.connect().await, HTTP).await;
    let refusal = verify(&there.root_der, &victim, &NONCE, &body).unwrap_err();
    assert_eq!(refusal.code(), "public-key-mismatch");
}

/// The host can end TLS itself and pass every question on to the real enclave.
#[tokio::test]
async fn a_man_in_the_middle_cannot_pass_the_attestation_on() {
    let rig = Rig::attested().await;
    let made = rcgen::generate_simple_self_signed(["in.example".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (to_victim, from_victim) = duplex(65_536);
    let behind = connect(rig.connect().await, HTTP).await;
    tokio::spawn(async move {
        let mut front = TlsAcceptor::from(std::sync::Arc::new(tls)).accept(from_victim).await.unwrap();
        let mut behind = behind;
        let _ = copy_bidirectional(&mut front, &mut behind).await;
    });
    let mut victim = connect(to_victim, &[]).await;
    let (status, body) = ask(&mut victim, &NONCE).await;
    assert_eq!(status, 200);
    let refusal = verify(&rig.root_der, &victim, &NONCE, &body).unwrap_err();
    assert_eq!(refusal.code(), "public-key-mismatch");
}

#[tokio::test]
async fn a_flood_of_questions_is_bounded_and_traffic_goes_on() {
    let rig = Rig::attested().await;
    let mut refused = 0;
    'flood: for _ in 0..10 {
        let mut caller = connect(rig.connect().await, HTTP).await;
        for _ in 0..16 {
            let (status, body) = ask(&mut caller, &NONCE).await;
            if status == 429 {
                assert_eq!(body["code"], "attesting-too-often");
                refused += 1;
                if refused == 3 {
                    break 'flood;
                }
            }
        }
        // Sixteen questions are enough for one connection.
        assert_eq!(caller.read(&mut [0; 1]).await.unwrap(), 0);
    }
    assert_eq!(refused, 3);
    let mut caller = connect(rig.connect().await, HTTP).await;
    caller.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let (mut application, _) = rig.application.accept().await.unwrap();
    application.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    let mut seen = [0; 27];
    caller.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"HTTP/1.1 204 No Content\r\n\r\n");
}

#[tokio::test]
async fn an_attested_port_speaks_nothing_older_than_tls_1_3() {
    let rig = Rig::attested().await;
    let caller = connect(rig.connect().await, HTTP).await;
    assert_eq!(caller.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let old = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls_pki_types::ServerName::try_from("in.example").unwrap();
    let error = tokio_rustls::TlsConnector::from(std::sync::Arc::new(old))
        .connect(name, rig.connect().await)
        .await
        .unwrap_err();
    let error = error.into_inner().unwrap().downcast::<rustls::Error>().unwrap();
    assert_eq!(*error, rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion));
}
