//! Paths, and the document that describes them.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use tokio::time::{Instant, timeout};
use utoipa::{
    OpenApi,
    openapi::{
        Info, License, OpenApi as Document, PathItem, RefOr,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    access::{authenticate, check_origin},
    answers::{problem_response, refused_credentials},
    code::Code,
    extract::RequestId,
    lingering::Lent,
    problem::{ApiError, Problem, render},
    routes::{
        approvals, audit, audit_export, events, explain, health, measurements, metrics, policy, replicas,
        revocations, sessions, status, tokens, tombstones, whoami, workloads,
    },
    state::{AdminParts, Api, Shared},
    web::pages,
};
use crate::refusal;

/// The port's paths. [`super::access::Peer`] comes as an extension.
pub(super) fn router(parts: AdminParts) -> Router {
    assembled(parts, |closed, api| {
        // The page asks the same routes; whoever it asks for signed in to it.
        let page = pages(closed.clone().with_state(Arc::clone(api)), api);
        closed.route_layer(middleware::from_fn_with_state(Arc::clone(api), authenticate)).merge(page)
    })
}

/// The paths; `guard` puts a principal before those that need one.
pub(super) fn assembled(parts: AdminParts, guard: impl FnOnce(Router<Api>, &Api) -> Router<Api>) -> Router {
    let (routes, document) = described();
    // Plain data: this always has a JSON form.
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let api: Api = Arc::new(Shared::new(parts, document));
    let (open, closed) = routes;
    let closed = guard(closed, &api);
    open.merge(closed)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), frame))
        .with_state(api)
}

/// The OpenAPI document, for those who want it without a proxy.
pub fn openapi() -> Document {
    described().1
}

/// Paths without and with credentials, and the document of both.
fn described() -> ((Router<Api>, Router<Api>), Document) {
    let (open, mut document) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::openapi))
        .split_for_parts();
    let (closed, described) = OpenApiRouter::new()
        .routes(routes!(workloads::list, workloads::create))
        .routes(routes!(workloads::show, workloads::put, workloads::revoke))
        .routes(routes!(approvals::approve_workload, approvals::withdraw_workload))
        .routes(routes!(measurements::list, measurements::add))
        .routes(routes!(measurements::show, measurements::patch, measurements::revoke))
        .routes(routes!(approvals::approve_measurement, approvals::withdraw_measurement))
        .routes(routes!(measurements::all))
        .routes(routes!(revocations::revoke))
        .routes(routes!(tombstones::list))
        .routes(routes!(tombstones::lift))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::show, sessions::end))
        .routes(routes!(explain::explain))
        .routes(routes!(tokens::list, tokens::make))
        .routes(routes!(tokens::revoke))
        .routes(routes!(audit::list))
        .routes(routes!(audit::chains))
        .routes(routes!(audit_export::export))
        .routes(routes!(replicas::list))
        .routes(routes!(policy::show))
        .routes(routes!(status::show))
        .routes(routes!(metrics::scrape))
        .routes(routes!(whoami::show))
        .routes(routes!(events::listen))
        .split_for_parts();
    let mut described = described;
    for item in described.paths.paths.values_mut() {
        operations(item).for_each(add_refused_credentials);
    }
    document.merge(described);
    ((open, closed), document)
}

/// What holds for the document as a whole.
#[derive(OpenApi)]
#[openapi(
    components(schemas(Problem)),
    modifiers(&Whole),
    security(("token" = []), ("certificate" = [])),
    tags(
        (name = "workloads", description = "What enclaves are for"),
        (name = "measurements", description = "Which enclaves are allowed"),
        (name = "approvals", description = "What waits for people"),
        (name = "revocations", description = "What is allowed no more"),
        (name = "tombstones", description = "PCRs that were revoked"),
        (name = "sessions", description = "Enclaves that passed"),
        (name = "tokens", description = "API tokens"),
        (name = "audit", description = "What was decided"),
        (name = "replicas", description = "Proxies that serve one store"),
        (name = "policy", description = "The policy's version"),
        (name = "access", description = "Who asks"),
        (name = "events", description = "What happens"),
        (name = "status", description = "How it goes"),
        (name = "health", description = "Without credentials"),
    )
)]
struct Description;

struct Whole;

impl utoipa::Modify for Whole {
    fn modify(&self, document: &mut Document) {
        let mut info = Info::new("Countersign admin API", env!("CARGO_PKG_VERSION"));
        info.description = Some(DESCRIPTION.to_owned());
        let mut license = License::new("Apache-2.0");
        license.identifier = Some("Apache-2.0".to_owned());
        info.license = Some(license);
        document.info = info;
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        components.add_security_scheme(
            "certificate",
            SecurityScheme::MutualTls { description: None, deprecated: None, extensions: None },
        );
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// Each operation says for itself what it can be refused for; credentials are judged before all of them.
fn add_refused_credentials(operation: &mut Operation) {
    for (status, meaning) in refused_credentials() {
        let all = &mut operation.responses.responses;
        match all.get_mut(status.as_str()) {
            Some(RefOr::T(known)) => known.description = format!("{}\n\nOr {meaning}.", known.description),
            Some(RefOr::Ref(_)) => {}
            None => {
                let response = problem_response(status.as_u16(), &format!("{meaning}."));
                all.insert(status.as_str().to_owned(), RefOr::T(response));
            }
        }
    }
}

/// Around every request: its id, its bounds, and the words of what went wrong.
async fn frame(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let id = refusal::request_id();
    request.extensions_mut().insert(RequestId(id.clone()));
    let (parts, body) = request.into_parts();
    let (body, left) = Lent::new(body);
    let began = Instant::now();
    let mut response = render(bounded(&api, Request::from_parts(parts, body), next).await, &id);
    api.telemetry.metrics.admin.answered(response.status(), began.elapsed());
    if response.status().is_client_error() {
        left.drain().await;
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(HeaderName::from_static(refusal::REQUEST_ID), id);
    }
    response
}

async fn bounded(api: &Api, request: Request, next: Next) -> Response {
    if let Err(error) = check_origin(api, &request) {
        return error.into_response();
    }
    let Ok(_place) = Arc::clone(&api.requests).try_acquire_owned() else {
        return ApiError::new(Code::Overloaded, "too many requests are under way: try again")
            .retry_after(1)
            .into_response();
    };
    match timeout(api.config.deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("the answer was not ready within {} s", api.config.deadline.as_secs());
            ApiError::new(Code::TooSlow, detail).retry_after(1).into_response()
        }
    }
}

async fn not_found() -> ApiError {
    ApiError::new(Code::NotFound, "there is no such path; GET /openapi.json lists those there are")
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(Code::MethodNotAllowed, "the path exists, and takes another method: see the header Allow")
}

const DESCRIPTION: &str = "\
Who may pass the proxy, and who did.

Errors are problem details (RFC 9457) with a stable `code`. What exists is changed with If-Match and the ETag \
that was read. Every change can be asked with `dry_run=true`: it checks everything, changes nothing and says what \
would come of it. What lies outside of a caller's workloads does not exist for him.";
