use axum::{extract::State, response::IntoResponse};
use http::Uri;

use super::{ReasonParams, workload};
use crate::{
    admin::{
        answers::{self, Acting, Answer, Changing, Creating, Listing, Reading},
        code::Code,
        extract::{
            Body, Caller, ChangeParams, IdempotencyHeader, IdempotencyKey, IfMatchHeader, Match, NoParams,
            PageParams, Params, PutHeaders, WorkloadPath, WorkloadPlace, required,
        },
        identity::Permission,
        model::{NewWorkload, Noun, Outcome, Rules, WorkloadListing, WorkloadView},
        problem::ApiError,
        state::{Api, Terms},
    },
    store::{Change, Precondition},
};

/// Lists workloads, revoked ones too.
#[utoipa::path(
    get, path = "/v1/workloads", operation_id = "list_workloads", tag = "workloads", params(PageParams),
    responses((status = 200, description = "A page, by name", body = WorkloadListing, headers(("Link" = String, description = "The next page"))), Listing)
)]
pub(in crate::admin) async fn list(
    caller: Caller,
    State(api): State<Api>,
    uri: Uri,
    Params(params): Params<PageParams>,
) -> Answer {
    let visible = caller.visible(Permission::Read)?;
    let paged = api.store.workloads(&visible, params.page(LIST)?).await?;
    Ok(answers::page::<_, WorkloadView, WorkloadListing>(paged, LIST, &uri))
}

/// Creates a workload.
///
/// Where approvals are asked for, it admits nobody until its rules are approved.
#[utoipa::path(
    post, path = "/v1/workloads", operation_id = "create_workload", tag = "workloads", params(ChangeParams, IdempotencyHeader), request_body = NewWorkload,
    responses(
        (status = 200, description = "A dry run: what would come of it", body = Outcome),
        (status = 201, description = "Created", body = Outcome, headers(("Location" = String), ("ETag" = String))),
        Creating,
    )
)]
pub(in crate::admin) async fn create(
    caller: Caller,
    State(api): State<Api>,
    Params(params): Params<ChangeParams>,
    key: IdempotencyKey,
    body: Body<NewWorkload>,
) -> Answer {
    caller.may(Permission::Change, &body.value.name.0)?;
    let (workload, description) = body.value.check(api.lease_bounds)?;
    let location = format!("/v1/workloads/{}", workload.name);
    let terms = Terms::given(Precondition::Absent, params.mode()).once(key, body.digest);
    let changed = api.change(&caller, Change::PutWorkload { workload, description }, terms).await?;
    Ok(answers::changed(changed, params.mode(), Noun::Change, Some(location)))
}

/// Shows a workload: its rules in force, and those that wait.
#[utoipa::path(
    get, path = "/v1/workloads/{workload}", operation_id = "show_workload", tag = "workloads", params(WorkloadPath),
    responses((status = 200, description = "The workload", body = WorkloadView, headers(("ETag" = String))), Reading)
)]
pub(in crate::admin) async fn show(
    caller: Caller,
    State(api): State<Api>,
    place: WorkloadPlace,
    Params(NoParams {}): Params<NoParams>,
) -> Answer {
    caller.may(Permission::Read, &place.workload)?;
    let row = workload(&api, &place.workload).await?;
    let revision = row.revision;
    Ok(answers::tagged(WorkloadView::from(row), revision))
}

/// Gives a workload other rules, or creates it.
///
/// With If-Match it changes what was read; without, it only creates. What
/// allows more waits for approvals, what allows less is in force at once.
#[utoipa::path(
    put, path = "/v1/workloads/{workload}", operation_id = "put_workload", tag = "workloads", params(WorkloadPath, ChangeParams, PutHeaders), request_body = Rules,
    responses(
        (status = 200, description = "Changed, or a dry run", body = Outcome, headers(("ETag" = String))),
        (status = 201, description = "Created", body = Outcome, headers(("Location" = String), ("ETag" = String))),
        Changing,
    )
)]
pub(in crate::admin) async fn put(
    caller: Caller,
    State(api): State<Api>,
    place: WorkloadPlace,
    Params(params): Params<ChangeParams>,
    expected: Match,
    body: Body<Rules>,
) -> Answer {
    caller.may(Permission::Change, &place.workload)?;
    let location = format!("/v1/workloads/{}", place.workload);
    let (workload, description) = body.value.check(place.workload, api.lease_bounds)?;
    let precondition = match expected {
        Match::Unsaid | Match::Absent => Precondition::Absent,
        Match::Exists | Match::Revision(_) => expected.of_existing()?,
    };
    if expected == Match::Exists {
        // `*` is for what exists: it must not create (RFC 9110 section 13.1.1).
        super::workload(&api, &workload.name).await?;
    }
    let creates = precondition == Precondition::Absent;
    let terms = Terms::given(precondition, params.mode());
    let changed = api.change(&caller, Change::PutWorkload { workload, description }, terms).await;
    let changed = changed.map_err(|error| match (error.code() == Code::Exists.as_str(), expected) {
        (true, Match::Unsaid) => required(),
        (true, Match::Absent) => {
            ApiError::new(Code::AlreadyThere, "there is a workload of that name already")
        }
        _ => error,
    })?;
    Ok(answers::changed(changed, params.mode(), Noun::Change, creates.then_some(location)).into_response())
}

/// Revokes a workload: every session of it ends, and nobody is admitted to it any more.
#[utoipa::path(
    delete, path = "/v1/workloads/{workload}", operation_id = "revoke_workload", tag = "workloads", params(WorkloadPath, ReasonParams, IfMatchHeader),
    responses((status = 200, description = "Revoked, or a dry run", body = Outcome), Acting)
)]
pub(in crate::admin) async fn revoke(
    caller: Caller,
    State(api): State<Api>,
    place: WorkloadPlace,
    Params(params): Params<ReasonParams>,
    expected: Match,
) -> Answer {
    caller.may(Permission::Revoke, &place.workload)?;
    let expected = expected.of_existing()?;
    let (mode, reason) = params.take();
    let change = Change::RevokeWorkload { workload: place.workload, reason };
    let changed = api.change(&caller, change, Terms::given(expected, mode)).await?;
    Ok(answers::changed(changed, mode, Noun::Revocation, None))
}

const LIST: &str = "workloads";
