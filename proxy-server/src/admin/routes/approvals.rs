use axum::extract::State;

use super::{measurement, workload};
use crate::{
    admin::{
        answers::{self, Acting, Answer},
        code::Code,
        extract::{
            Caller, ChangeParams, IfMatchHeader, Match, MeasurementPath, MeasurementPlace, Params,
            WorkloadPath, WorkloadPlace,
        },
        identity::{Lineage, Permission, Subject},
        model::{Noun, Outcome},
        problem::ApiError,
        state::{Api, Shared, Terms},
    },
    store::Change,
};

/// Says yes to a pending measurement.
///
/// If-Match is the revision that was read: nobody approves what they have not seen.
#[utoipa::path(
    post, path = "/v1/workloads/{workload}/measurements/{measurement}/approvals", tag = "approvals",
    params(MeasurementPath, ChangeParams, IfMatchHeader),
    responses((status = 200, description = "Approved, or a dry run", body = Outcome), Acting)
)]
pub(in crate::admin) async fn approve_measurement(
    caller: Caller,
    State(api): State<Api>,
    place: MeasurementPlace,
    Params(params): Params<ChangeParams>,
    expected: Match,
) -> Answer {
    caller.may(Permission::Approve, &place.workload)?;
    let expected = expected.of_existing()?;
    let row = measurement(&api, &place.workload, &place.measurement).await?;
    let authors = [row.author.as_deref(), row.pending.as_ref().map(|pending| pending.author.as_str())];
    for author in authors.into_iter().flatten() {
        not_the_authors_hand(&caller, &api, author).await?;
    }
    let change = Change::Approve { workload: place.workload, measurement: Some(place.measurement) };
    let changed = api.change(&caller, change, Terms::given(expected, params.mode())).await?;
    Ok(answers::changed(changed, params.mode(), Noun::Approval, None))
}

/// Takes back a pending measurement: nobody allowed it yet.
#[utoipa::path(
    delete, path = "/v1/workloads/{workload}/measurements/{measurement}/approvals", tag = "approvals",
    params(MeasurementPath, ChangeParams, IfMatchHeader),
    responses((status = 200, description = "Taken back, or a dry run", body = Outcome), Acting)
)]
pub(in crate::admin) async fn withdraw_measurement(
    caller: Caller,
    State(api): State<Api>,
    place: MeasurementPlace,
    Params(params): Params<ChangeParams>,
    expected: Match,
) -> Answer {
    caller.may(Permission::Change, &place.workload)?;
    let expected = expected.of_existing()?;
    let change = Change::Withdraw { workload: place.workload, measurement: Some(place.measurement) };
    let changed = api.change(&caller, change, Terms::given(expected, params.mode())).await?;
    Ok(answers::changed(changed, params.mode(), Noun::Change, None))
}

/// Says yes to a workload's pending rules.
///
/// If-Match is the revision that was read: nobody approves what they have not seen.
#[utoipa::path(
    post, path = "/v1/workloads/{workload}/approvals", tag = "approvals", params(WorkloadPath, ChangeParams, IfMatchHeader),
    responses((status = 200, description = "Approved, or a dry run", body = Outcome), Acting)
)]
pub(in crate::admin) async fn approve_workload(
    caller: Caller,
    State(api): State<Api>,
    place: WorkloadPlace,
    Params(params): Params<ChangeParams>,
    expected: Match,
) -> Answer {
    caller.may(Permission::Approve, &place.workload)?;
    let expected = expected.of_existing()?;
    let row = workload(&api, &place.workload).await?;
    if let Some((_, author, _)) = &row.pending {
        not_the_authors_hand(&caller, &api, author).await?;
    }
    let change = Change::Approve { workload: place.workload, measurement: None };
    let changed = api.change(&caller, change, Terms::given(expected, params.mode())).await?;
    Ok(answers::changed(changed, params.mode(), Noun::Approval, None))
}

/// Takes back a workload's pending rules: those in force stay.
#[utoipa::path(
    delete, path = "/v1/workloads/{workload}/approvals", tag = "approvals", params(WorkloadPath, ChangeParams, IfMatchHeader),
    responses((status = 200, description = "Taken back, or a dry run", body = Outcome), Acting)
)]
pub(in crate::admin) async fn withdraw_workload(
    caller: Caller,
    State(api): State<Api>,
    place: WorkloadPlace,
    Params(params): Params<ChangeParams>,
    expected: Match,
) -> Answer {
    caller.may(Permission::Change, &place.workload)?;
    let expected = expected.of_existing()?;
    let change = Change::Withdraw { workload: place.workload, measurement: None };
    let changed = api.change(&caller, change, Terms::given(expected, params.mode())).await?;
    Ok(answers::changed(changed, params.mode(), Noun::Change, None))
}

/// Nobody approves what they wrote: neither with a token that they made, nor
/// what was written with a token that they made. The store compares subjects;
/// who made a token stands in its lineage.
async fn not_the_authors_hand(caller: &Caller, api: &Shared, author: &str) -> Result<(), ApiError> {
    let Ok(author) = author.parse::<Subject>() else { return Ok(()) };
    let principal = caller.principal();
    if principal.is_the_hand_of(&author)
        || lineage(api, &author).await?.is_some_and(|made_by| made_by.has(principal.subject()))
    {
        return Err(ApiError::new(Code::OwnApproval, format!("{author} wrote it: somebody else approves")));
    }
    Ok(())
}

/// Who made the author's token, when the author is one.
async fn lineage(api: &Shared, author: &Subject) -> Result<Option<Lineage>, ApiError> {
    let Some(id) = author.as_str().strip_prefix("token:") else { return Ok(None) };
    let all = super::tokens::all(api).await?;
    Ok(all.into_iter().find(|record| record.id.to_string() == id).map(|record| record.created_by))
}
