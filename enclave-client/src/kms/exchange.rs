use std::{sync::Arc, time::SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, USER_AGENT},
    request::Parts,
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use tracing::{debug, warn};
use zeroize::Zeroizing;

use super::{
    Attested, Authorization, Callers, CredentialSource, Endpoints, KmsConfig, KmsLimits, Object, Operation,
    Region, Rules,
    cms::Envelope,
    recipient::{Recipient, Shown},
    refusal::Refusal,
    upstream::{Answer, Upstream},
};
use crate::telemetry::{Figures, KmsOutcome, OTHER};

/// What all calls of one endpoint share.
pub(super) struct Exchange {
    endpoints: Endpoints,
    credentials: CredentialSource,
    callers: Callers,
    rules: Rules,
    limits: KmsLimits,
    recipient: Arc<Recipient>,
    upstream: Upstream,
    /// RSA operations at a time: more than there are processors would only wait in threads.
    opening: Arc<Semaphore>,
    figures: Option<Arc<Figures>>,
}

impl Exchange {
    pub(super) fn new(
        config: KmsConfig,
        recipient: Arc<Recipient>,
        upstream: Upstream,
        figures: Option<Arc<Figures>>,
    ) -> Self {
        let KmsConfig { endpoints, credentials, callers, rules, limits, .. } = config;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let opening = Arc::new(Semaphore::new(processors));
        Self { endpoints, credentials, callers, rules, limits, recipient, upstream, opening, figures }
    }

    /// One call, from its head to its answer. Every failure is an answer too.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let target = head.headers.get(TARGET).and_then(|target| target.to_str().ok()).unwrap_or_default();
        let called = timeout(self.limits.call_deadline, self.call(&head, body)).await;
        let called = called.unwrap_or(Err(Refusal::Deadline));
        self.count(target, &called);
        match called {
            Ok(answer) => {
                debug!(code = "kms-answered", target, status = answer.status().as_u16(), "KMS answered");
                answer
            }
            Err(refusal) => {
                let (status, code) = refusal.status_and_code();
                warn!(code, target = %target.escape_default(), status = status.as_u16(), "KMS call refused: {refusal}");
                refusal.response()
            }
        }
    }

    /// By operations that are known: any other name is the caller's own.
    fn count(&self, target: &str, called: &Result<Response<Full<Bytes>>, Refusal>) {
        let Some(figures) = &self.figures else { return };
        let operation = Operation::from_target(target).ok().and_then(|operation| operation.attested());
        let outcome = match called {
            Ok(answer) => KmsOutcome::Answered(answer.status().as_u16()),
            Err(refusal) => KmsOutcome::Refused(refusal.status_and_code().1),
        };
        figures.kms_calls.add((operation.map_or(OTHER, Attested::name), outcome));
    }

    async fn call(&self, head: &Parts, body: Incoming) -> Result<Response<Full<Bytes>>, Refusal> {
        if head.method != Method::POST || head.uri.path_and_query().is_none_or(|path| path != "/") {
            return Err(Refusal::Path);
        }
        let target = head.headers.get(TARGET).and_then(|target| target.to_str().ok()).unwrap_or_default();
        let operation = Operation::from_target(target).map_err(Refusal::Operation)?;
        let authorization = Authorization::read(&head.headers).map_err(Refusal::Authorization)?;
        let body = self.whole(body).await?;
        if let Callers::Signed(known) = &self.callers {
            let known = known.known_as(authorization.access_key_id()).await.map_err(Refusal::Credentials)?;
            authorization
                .check(&head.headers, &body, &known, SystemTime::now())
                .map_err(Refusal::Authorization)?;
        }
        // KMS takes an empty body for an empty object.
        let request = if body.is_empty() { Ok(Object::default()) } else { Object::read(&body) };
        let request = request.map_err(Refusal::Request)?;
        let region = authorization.region();
        self.rules.judge(&operation, region, &request).map_err(Refusal::Rule)?;
        match operation.attested() {
            Some(attested) => self.attested(attested, head, region, request).await,
            // What was judged is what is sent: the object, written anew, and not the bytes it was read from.
            None => self.plain(head, region, request).await,
        }
    }

    async fn plain(
        &self,
        head: &Parts,
        region: &Region,
        request: Object,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let answer = self.send(head, region, request.write()).await?;
        if answer.status.is_success() && !answer.body.is_empty() {
            let object = Object::read(&answer.body).map_err(Refusal::Answer)?;
            for attested in Attested::ALL {
                without_plaintext(attested, &object)?;
            }
            self.rules.judge_plain_answer(region, &object).map_err(Refusal::Rule)?;
        }
        Ok(plain(answer))
    }

    async fn attested(
        &self,
        operation: Attested,
        head: &Parts,
        region: &Region,
        mut request: Object,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        if request.has(RECIPIENT) {
            return Err(Refusal::OwnRecipient);
        }
        let asked = request.text("KeyId").map_err(Refusal::Request)?;
        let shown = self.recipient.shown().await.map_err(Refusal::Recipient)?;
        request.set(RECIPIENT, &RecipientInfo::new(&shown));
        let answer = self.send(head, region, request.write()).await?;
        match answer.status {
            StatusCode::OK => {}
            status if status.is_client_error() || status.is_server_error() => return Ok(plain(answer)),
            _ => return Err(Refusal::NotAttested("is neither a success nor an error of KMS")),
        }
        let mut object = Object::read(&answer.body).map_err(Refusal::Answer)?;
        // First of all, before anybody looks at anything else in it.
        let envelope = envelope_only(operation, &object)?;
        self.rules.judge_answer(operation, asked.as_deref(), &object).map_err(Refusal::Rule)?;
        let plaintext = self.open(envelope, shown).await?;
        object.remove(CIPHERTEXT);
        object.set(operation.plaintext(), &*Zeroizing::new(STANDARD.encode(&*plaintext)));
        Ok(plain(Answer { body: object.write().into(), ..answer }))
    }

    async fn open(&self, envelope: Vec<u8>, shown: Arc<Shown>) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let turn = self.opening.clone().acquire_owned().await.map_err(|_| Refusal::Gone)?;
        let work = move || {
            let opened = Envelope::read(&envelope)
                .map_err(Refusal::Envelope)
                .and_then(|envelope| envelope.open(shown.key()).map_err(Refusal::Open));
            drop(turn);
            opened
        };
        spawn_blocking(work).await.map_err(|_| Refusal::Gone)?
    }

    async fn send(&self, head: &Parts, region: &Region, body: Vec<u8>) -> Result<Answer, Refusal> {
        let site = self.endpoints.site(region).map_err(Refusal::Site)?;
        let credentials = self.credentials.newest().await.map_err(Refusal::Credentials)?;
        let mut headers = carried(&head.headers);
        super::signature::sign_for_kms(
            &mut headers,
            site.authority(),
            &body,
            &credentials,
            region,
            SystemTime::now(),
        )
        .ok_or(Refusal::Unsignable)?;
        self.upstream.send(&site, headers, body.into()).await.map_err(Refusal::Send)
    }

    async fn whole(&self, body: Incoming) -> Result<Bytes, Refusal> {
        let limit = self.limits.body;
        let collected = Limited::new(body, limit).collect().await.map_err(|why| {
            if why.is::<LengthLimitError>() { Refusal::TooLarge { limit } } else { Refusal::Body }
        });
        Ok(collected?.to_bytes())
    }
}

/// `RecipientInfo` (KMS API reference).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RecipientInfo<'a> {
    attestation_document: &'a str,
    key_encryption_algorithm: &'static str,
}

impl<'a> RecipientInfo<'a> {
    fn new(shown: &'a Shown) -> Self {
        Self { attestation_document: shown.document(), key_encryption_algorithm: "RSAES_OAEP_SHA_256" }
    }
}

/// The envelope of an answer that holds no plaintext.
///
/// A `Recipient` was sent; an answer with plaintext in it, or without an envelope, is that of somebody who
/// ignored it, and its plaintext crossed the network for anybody who ends TLS on the way.
fn envelope_only(operation: Attested, answer: &Object) -> Result<Vec<u8>, Refusal> {
    without_plaintext(operation, answer)?;
    match answer.text(CIPHERTEXT).map_err(Refusal::Answer)? {
        Some(envelope) if !envelope.is_empty() => STANDARD.decode(envelope).map_err(|_| Refusal::Encoding),
        _ => Err(Refusal::NotAttested("lacks CiphertextForRecipient")),
    }
}

fn without_plaintext(operation: Attested, answer: &Object) -> Result<(), Refusal> {
    match answer.text(operation.plaintext()).map_err(Refusal::Answer)? {
        Some(plaintext) if !plaintext.is_empty() => Err(Refusal::NotAttested("holds a plaintext")),
        _ => Ok(()),
    }
}

/// The caller's headers that KMS is to see. `Authorization`, the date and the token are made anew; what
/// belongs to the connection stays here.
fn carried(from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(CARRIED.len() + 5);
    for name in CARRIED {
        if let Some(value) = from.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers
}

/// KMS's answer as KMS wrote it, but for what belongs to its connection.
fn plain(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    for name in ANSWERED {
        if let Some(value) = answer.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// The content type of JSON 1.1.
pub(super) const JSON: &str = "application/x-amz-json-1.1";

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const RECIPIENT: &str = "Recipient";
const CIPHERTEXT: &str = "CiphertextForRecipient";

const CARRIED: [HeaderName; 5] = [
    TARGET,
    USER_AGENT,
    HeaderName::from_static("x-amz-user-agent"),
    HeaderName::from_static("amz-sdk-invocation-id"),
    HeaderName::from_static("amz-sdk-request"),
];

const ANSWERED: [HeaderName; 4] = [
    CONTENT_TYPE,
    HeaderName::from_static("x-amzn-requestid"),
    HeaderName::from_static("x-amzn-errortype"),
    HeaderName::from_static("retry-after"),
];
