//! A stand-in for KMS in this process: TLS, HTTP/1.1, and an answer as the test wants it.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::rand;
use bytes::Bytes;
use countersign_simulator::seal_for_recipient;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::setup::KEY;

/// What it answers: status and body.
pub(crate) type Behaviour = Arc<dyn Fn(&Asked) -> (u16, Value) + Send + Sync>;

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) operation: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Asked {
    /// The answer's envelope over a plaintext, for the key in the request's document.
    pub(crate) fn envelope(&self, plaintext: &[u8]) -> String {
        let recipient = &self.body["Recipient"];
        assert_eq!(recipient["KeyEncryptionAlgorithm"], "RSAES_OAEP_SHA_256");
        let document = base64_decode(recipient["AttestationDocument"].as_str().unwrap());
        base64_encode(&seal_for_recipient(&document, plaintext).unwrap())
    }
}

pub(crate) struct FakeKms {
    pub(crate) site: String,
    pub(crate) anchor: String,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl FakeKms {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let tls =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = format!("https://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        tokio::spawn(accept(
            listener,
            TlsAcceptor::from(Arc::new(tls)),
            behaviour,
            asked.clone(),
            connections.clone(),
        ));
        Self { site, anchor: made.cert.pem(), asked, connections }
    }

    /// One that does as KMS does.
    pub(crate) async fn honest() -> Self {
        Self::start(Arc::new(honest)).await
    }

    pub(crate) fn last(&self) -> Asked {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

/// The five operations as KMS answers them with `Recipient`, `Encrypt`, and an error for the rest.
pub(crate) fn honest(asked: &Asked) -> (u16, Value) {
    match asked.operation.as_str() {
        "Decrypt" => {
            let plaintext = base64_decode(asked.body["CiphertextBlob"].as_str().unwrap());
            // `Encrypt` below only turns bytes round.
            let plaintext: Vec<u8> = plaintext.into_iter().rev().collect();
            let envelope = asked.envelope(&plaintext);
            (
                200,
                json!({"KeyId": KEY, "Plaintext": null, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT", "CiphertextForRecipient": envelope}),
            )
        }
        "GenerateDataKey" => {
            let key = random(32);
            let blob: Vec<u8> = key.iter().rev().copied().collect();
            (
                200,
                json!({"CiphertextBlob": base64_encode(&blob), "CiphertextForRecipient": asked.envelope(&key), "KeyId": KEY, "Plaintext": ""}),
            )
        }
        "GenerateRandom" => {
            let count = asked.body["NumberOfBytes"].as_u64().unwrap() as usize;
            (200, json!({"CiphertextForRecipient": asked.envelope(&random(count))}))
        }
        "GenerateDataKeyPair" => {
            let envelope = asked.envelope(&[7; 1200]);
            (
                200,
                json!({"PublicKey": "cHVibGlj", "PrivateKeyCiphertextBlob": "c2VhbGVk", "KeyPairSpec": "RSA_2048", "KeyId": KEY, "CiphertextForRecipient": envelope}),
            )
        }
        "DeriveSharedSecret" => (
            200,
            json!({"KeyId": KEY, "SharedSecret": null, "CiphertextForRecipient": asked.envelope(&[9; 32])}),
        ),
        "Encrypt" => {
            let blob: Vec<u8> =
                base64_decode(asked.body["Plaintext"].as_str().unwrap()).into_iter().rev().collect();
            (
                200,
                json!({"CiphertextBlob": base64_encode(&blob), "KeyId": KEY, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}),
            )
        }
        _ => (400, json!({"__type": "NotFoundException", "message": "Invalid keyId"})),
    }
}

async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    behaviour: Behaviour,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        let (tls, behaviour, asked) = (tls.clone(), behaviour.clone(), asked.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let (behaviour, asked) = (behaviour.clone(), asked.clone());
                async move { Ok::<_, Infallible>(answer(request, &behaviour, &asked).await) }
            });
            // However a connection ends is the client's to judge.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    behaviour: &Behaviour,
    log: &Mutex<Vec<Asked>>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let target = head.headers["x-amz-target"].to_str().unwrap();
    let asked = Asked {
        operation: target.strip_prefix("TrentService.").unwrap().to_owned(),
        headers: head.headers.clone(),
        body: serde_json::from_slice(&body).unwrap(),
    };
    log.lock().unwrap().push(asked.clone());
    let (status, body) = behaviour(&asked);
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amzn-requestid", "11112222-3333-4444-5555-666677778888")
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}

fn random(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    rand::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn base64_encode(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

pub(crate) fn base64_decode(text: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.decode(text).unwrap()
}
