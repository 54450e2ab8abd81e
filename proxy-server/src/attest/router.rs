use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderValue, header},
    response::Response,
    routing::post,
};
use bytes::Bytes;
use countersign_protocol::{ProblemCode, message::AskCredentials, wire};
use countersign_telemetry::TraceContext;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::{
    admission::{Admitter, no_client_key},
    connection::Connection,
};
use crate::{
    credentials::Desk,
    refusal::{self, Refused},
};

/// The id of this request, as every answer carries it.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) String);

/// The port's paths. [`Connection`] and [`RequestId`] come as extensions.
pub(super) fn router(admitter: Arc<Admitter>, desk: Option<Desk>) -> Router {
    Router::new()
        .route(wire::CREDENTIALS_PATH, post(credentials))
        .layer(Extension(desk))
        .route(wire::CHALLENGE_PATH, post(challenge))
        .route(wire::ATTEST_PATH, post(attest))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(admitter)
}

async fn challenge(
    State(admitter): State<Arc<Admitter>>,
    Extension(connection): Extension<Arc<Connection>>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Response {
    if let Err(refused) = read_body(request, 0).await {
        return refuse(&refused, &id);
    }
    match admitter.challenge(&connection) {
        Ok(challenge) => cbor(challenge.encode()),
        Err(refused) => {
            admitter.turn_away(&connection, &refused, &id.0);
            refuse(&refused, &id)
        }
    }
}

async fn attest(
    State(admitter): State<Arc<Admitter>>,
    Extension(connection): Extension<Arc<Connection>>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Response {
    let parents = request.headers().get_all(TraceContext::HEADER);
    let parent = TraceContext::of_headers(parents.iter().map(HeaderValue::as_bytes));
    let body = match read_body(request, wire::MAX_ATTEST_BODY).await {
        Ok(body) => body,
        Err(refused) => {
            // Burned by this failure too.
            let _ = connection.take_nonce();
            admitter.turn_away(&connection, &refused, &id.0);
            return refuse(&refused, &id);
        }
    };
    match admitter.attest(&connection, &body, &id.0, parent.as_ref()).await {
        Ok(grant) => cbor(grant.encode()),
        Err(refused) => refuse(&refused, &id),
    }
}

/// The connection proves the key, the body names the session: credentials go to the key of the session alone. Any
/// connection of that key will do, so that a slow STS keeps nobody from attesting in time.
async fn credentials(
    State(admitter): State<Arc<Admitter>>,
    Extension(desk): Extension<Option<Desk>>,
    Extension(connection): Extension<Arc<Connection>>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Response {
    let asked = async {
        let body = read_body(request, wire::MAX_ASK_CREDENTIALS).await?;
        let key = connection.key.as_ref().ok_or_else(no_client_key)?;
        let asked = AskCredentials::decode(&body);
        let asked = asked.map_err(|error| Refused::new(ProblemCode::BadRequest, error.to_string()))?;
        let desk = desk.ok_or_else(|| Refused::new(ProblemCode::CredentialsNotOffered, NO_DESK))?;
        Ok((desk, key, asked))
    };
    let (desk, key, AskCredentials { session }) = match asked.await {
        Ok(asked) => asked,
        Err(refused) => {
            admitter.turn_away(&connection, &refused, &id.0);
            return refuse(&refused, &id);
        }
    };
    match desk.issue(key, session, &id.0).await {
        Ok(issued) => cbor(issued.message().encode()),
        Err(refused) => refuse(&refused, &id),
    }
}

async fn not_found(Extension(id): Extension<RequestId>) -> Response {
    let detail = "no such path; POST /v1/challenge, /v1/attest and /v1/credentials are here";
    refuse(&Refused::new(ProblemCode::NotFound, detail), &id)
}

async fn method_not_allowed(Extension(id): Extension<RequestId>) -> Response {
    refuse(&Refused::new(ProblemCode::MethodNotAllowed, "the paths of this port take POST"), &id)
}

/// The whole body, within a size and a time. A length that is announced and too
/// large is refused before a byte of it is read.
async fn read_body(request: Request, limit: usize) -> Result<Bytes, Refused> {
    let too_large =
        || Refused::new(ProblemCode::TooLarge, format!("the body is over its limit of {limit} bytes"));
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|text| text.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), limit).collect();
    match timeout(BODY_TIME, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            Err(Refused::because(ProblemCode::BadRequest, "the body is not well-formed HTTP", error))
        }
        Err(_) => Err(Refused::new(
            ProblemCode::RequestTimeout,
            format!("the body was not complete within {} s", BODY_TIME.as_secs()),
        )),
    }
}

fn cbor(body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(wire::CBOR));
    response
}

pub(super) fn refuse(refused: &Refused, id: &RequestId) -> Response {
    refusal::answer(&refused.problem(&id.0)).map(Into::into)
}

const NO_DESK: &str = "this proxy issues no AWS credentials ([[sts.role]] in its configuration)";

/// One document is a few kilobytes: whoever needs longer is not there.
const BODY_TIME: Duration = Duration::from_secs(5);
