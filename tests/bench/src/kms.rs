//! What the KMS endpoint adds to a call, and how many attested calls it carries.
//!
//! ```text
//!   direct     load ──TLS──► upstream                         plain KMS, answers with the plaintext
//!   endpoint   load ──HTTP──► KmsEndpoint ──TLS──► upstream   answers with an envelope for the endpoint's key
//! ```
//!
//! All three in this process, on two cores for the rate. The upstream is not the limit: it reads the request, keeps
//! one envelope for each document and verifies nothing. Nothing here waits for a network.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use countersign_enclave::{
    device::{Attestor, Device, DeviceError, DocumentRequest},
    egress::{Egress, Outer},
    kms::{
        Allow, Callers, CredentialSource, Credentials, Endpoints, KmsConfig, KmsEndpoint, KmsLimits, Rules,
        Standard,
    },
    tls::{Anchors, server_auth_config},
};
use countersign_protocol::egress::{Action, EgressPolicy, Ports, Rule};
use countersign_simulator::{AttestationRequest, Module, SimulatedRoot, SoftwareNsm, seal_for_recipient};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

use crate::failure::{Context, Failure};
use crate::report::{Goal, Report};
use crate::settings::Settings;
use crate::stats::Latencies;

/// Runs the part.
///
/// # Errors
/// A call that fails.
pub(crate) async fn run(settings: &Settings, report: &mut Report) -> Result<(), Failure> {
    let (calls, turn, rounds) = (settings.pick(2000, 50), settings.turn(), settings.rounds());
    let figures = crate::cores::on_two(move || measure(calls, turn, rounds)).await?;
    let Figures { mut direct, mut endpoint, rate, direct_rate } = figures;
    let mut added = |percent: f64| endpoint.percentile(percent) - direct.percentile(percent);
    report.judge("kms-decrypt-added-p50-us", added(50.0), "µs", Goal::AtMost(1500.0));
    report.judge("kms-decrypt-added-p99-us", added(99.0), "µs", Goal::AtMost(4000.0));
    report.add("kms-decrypt-p50-us", endpoint.percentile(50.0), "µs through the endpoint");
    report.add("kms-decrypt-p99-us", endpoint.percentile(99.0), "µs through the endpoint");
    report.add("kms-direct-p50-us", direct.percentile(50.0), "µs without it");
    report.add("kms-direct-p99-us", direct.percentile(99.0), "µs without it");
    report.judge(
        "kms-attested-calls-per-s",
        rate,
        "1/s (two cores, with load and upstream)",
        Goal::AtLeast(2000.0),
    );
    report.add("kms-direct-calls-per-s", direct_rate, "1/s (the same without the endpoint)");
    Ok(())
}

struct Figures {
    direct: Latencies,
    endpoint: Latencies,
    rate: f64,
    direct_rate: f64,
}

async fn measure(calls: usize, turn: Duration, rounds: usize) -> Result<Figures, Failure> {
    let upstream = Upstream::start().await?;
    let endpoint = start_endpoint(&upstream).await?;
    let ways = [Way::Direct(upstream.clone()), Way::Endpoint(endpoint)];
    let mut latencies = [Latencies::default(), Latencies::default()];
    let mut rates = [Vec::new(), Vec::new()];
    // In turns, so that whatever else this machine does falls on both.
    for _ in 0..rounds {
        for (way, latencies) in ways.iter().zip(&mut latencies) {
            let mut caller = way.connect().await?;
            call(&mut caller).await?;
            for _ in 0..calls / rounds {
                let began = Instant::now();
                call(&mut caller).await?;
                latencies.push(began.elapsed());
            }
        }
        for (way, rates) in ways.iter().zip(&mut rates) {
            rates.push(rate(way, turn).await?);
        }
    }
    let [direct, endpoint] = latencies;
    let [direct_rate, rate] = rates.map(crate::stats::median);
    Ok(Figures { direct, endpoint, rate, direct_rate })
}

async fn rate(way: &Way, turn: Duration) -> Result<f64, Failure> {
    let began = Instant::now();
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let mut caller = way.connect().await?;
        callers.push(tokio::spawn(async move {
            let mut count = 0_u32;
            while began.elapsed() < turn {
                call(&mut caller).await?;
                count += 1;
            }
            Ok::<_, Failure>(count)
        }));
    }
    let mut count = 0;
    for caller in callers {
        count += caller.await.context("a caller")??;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

enum Way {
    Direct(Upstream),
    Endpoint(SocketAddr),
}

type Caller = SendRequest<Full<Bytes>>;

impl Way {
    async fn connect(&self) -> Result<Caller, Failure> {
        let address = match self {
            Self::Direct(upstream) => upstream.address,
            Self::Endpoint(address) => *address,
        };
        let stream = TcpStream::connect(address).await.context("connect")?;
        stream.set_nodelay(true).context("connect")?;
        match self {
            Self::Endpoint(_) => {
                let (caller, connection) = handshake(TokioIo::new(stream)).await.context("HTTP")?;
                tokio::spawn(connection);
                Ok(caller)
            }
            Self::Direct(upstream) => {
                let anchors = Anchors::from_pem(upstream.anchor.as_bytes()).context("anchor")?;
                let tls = TlsConnector::from(server_auth_config(&anchors).context("TLS")?);
                let name = ServerName::try_from("127.0.0.1").context("name")?;
                let stream = tls.connect(name, stream).await.context("TLS")?;
                let (caller, connection) = handshake(TokioIo::new(stream)).await.context("HTTP")?;
                tokio::spawn(connection);
                Ok(caller)
            }
        }
    }
}

async fn call(caller: &mut Caller) -> Result<(), Failure> {
    let body = format!(r#"{{"KeyId":"{KEY}","CiphertextBlob":"{}"}}"#, "A".repeat(240));
    let request = Request::post("/")
        .header("host", "127.0.0.1")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "TrentService.Decrypt")
        .header("x-amz-date", "20250101T000000Z")
        .header("authorization", AUTHORIZATION)
        .body(Full::new(body.into()))
        .context("request")?;
    caller.ready().await.context("call")?;
    let answer = caller.send_request(request).await.context("call")?;
    let status = answer.status();
    let body = answer.into_body().collect().await.context("answer")?.to_bytes();
    let right = body.windows(PLAINTEXT.len()).any(|part| part == PLAINTEXT.as_bytes());
    if status == 200 && right {
        Ok(())
    } else {
        Err(Failure::new(format!("answered {status}: {}", String::from_utf8_lossy(&body))))
    }
}

/// A stand-in for KMS: with a `Recipient` it answers with an envelope, else with the plaintext.
#[derive(Clone)]
struct Upstream {
    address: SocketAddr,
    anchor: String,
}

impl Upstream {
    async fn start() -> Result<Self, Failure> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).context("certificate")?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(Failure::new)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS")?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .context("TLS")?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("upstream")?;
        let address = listener.local_addr().context("upstream")?;
        let envelopes: Arc<Mutex<HashMap<String, Bytes>>> = Arc::default();
        let tls = TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, envelopes) = (tls.clone(), envelopes.clone());
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request: Request<Incoming>| {
                        let envelopes = envelopes.clone();
                        async move { Ok::<_, Infallible>(answer(request, &envelopes).await) }
                    });
                    // However a connection ends is the caller's to judge.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, anchor: made.cert.pem() })
    }
}

async fn answer(
    request: Request<Incoming>,
    envelopes: &Mutex<HashMap<String, Bytes>>,
) -> http::Response<Full<Bytes>> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Asked {
        recipient: Option<Recipient>,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Recipient {
        attestation_document: String,
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asked = serde_json::from_slice(&body).unwrap_or(Asked { recipient: None });
    let body = match asked.recipient {
        None => Bytes::from(format!(r#"{{"KeyId":"{KEY}","Plaintext":"{PLAINTEXT}"}}"#)),
        Some(Recipient { attestation_document }) => {
            let mut envelopes = envelopes.lock().unwrap_or_else(PoisonError::into_inner);
            envelopes.entry(attestation_document).or_insert_with_key(|document| sealed(document)).clone()
        }
    };
    http::Response::new(Full::new(body))
}

/// The answer for the key in a document; nothing where there is none, and the caller says so.
fn sealed(document: &str) -> Bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let document = STANDARD.decode(document).unwrap_or_default();
    let parsed = countersign_verifier::UnverifiedDocument::parse(&document).ok();
    let spki = parsed.as_ref().and_then(|document| document.public_key()).unwrap_or_default();
    let plaintext = STANDARD.decode(PLAINTEXT).unwrap_or_default();
    let envelope = STANDARD.encode(seal_for_recipient(spki, &plaintext).unwrap_or_default());
    Bytes::from(format!(r#"{{"KeyId":"{KEY}","CiphertextForRecipient":"{envelope}"}}"#))
}

async fn start_endpoint(upstream: &Upstream) -> Result<SocketAddr, Failure> {
    let region = "eu-west-1".parse().context("region")?;
    let site = format!("https://{}", upstream.address).parse().context("site")?;
    let credentials = Credentials::new("AKIDBENCH".to_owned(), "secret".to_owned(), None);
    let config = KmsConfig {
        port: 0,
        endpoints: Endpoints { named: [(region, site)].into(), standard: Standard::Public },
        anchors: Anchors::from_pem(upstream.anchor.as_bytes()).context("anchor")?,
        credentials: CredentialSource::fixed(credentials),
        callers: Callers::AnyInside,
        rules: Rules { operations: Allow::Any, keys: Allow::Any, encryption_context: Default::default() },
        limits: KmsLimits::default(),
    };
    let target = "127.0.0.1".parse().context("target")?;
    let rule = Rule { action: Action::Allow, target, ports: Ports::Any, origin: "bench".into() };
    let policy = EgressPolicy::new(vec![rule]).context("policy")?;
    let egress = Egress::new(policy, HashMap::new(), Outer::Direct);
    let root = SimulatedRoot::generate(now_ms()).context("root")?;
    let device = Device::new(SimulatedDevice(SoftwareNsm::new(&root, Module::from_image("bench"))));
    let endpoint = KmsEndpoint::bind(config, Arc::new(egress), device).await.context("endpoint")?;
    let address = endpoint.address();
    tokio::spawn(endpoint.serve(CancellationToken::new()));
    Ok(address)
}

struct SimulatedDevice(SoftwareNsm);

impl Attestor for SimulatedDevice {
    fn attest(&self, request: DocumentRequest) -> Result<Vec<u8>, DeviceError> {
        let DocumentRequest { public_key, user_data, nonce } = request;
        let request = AttestationRequest {
            public_key: Some(public_key),
            user_data: Some(user_data),
            nonce: Some(nonce),
        };
        self.0.attest(now_ms(), &request).map_err(|_| DeviceError::Unexpected)
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Connections that call at the same time when the rate is taken.
const CALLERS: usize = 16;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// A data key of 32 bytes.
const PLAINTEXT: &str = "YSBkYXRhIGtleSBvZiB0aGlydHktdHdvIGJ5dGVzLi4=";

const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIDBENCH/20250101/eu-west-1/kms/aws4_request, \
     SignedHeaders=host;x-amz-date;x-amz-target, Signature=00";
