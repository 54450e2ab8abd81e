use axum::extract::State;

use crate::{
    admin::{
        answers::{self, Acting, Answer},
        extract::{
            Caller, ChangeParams, IfMatchHeader, Match, MeasurementPath, MeasurementPlace, Params,
            WorkloadPath, WorkloadPlace,
        },
        identity::Permission,
        model::{Noun, Outcome},
        state::{Api, Terms},
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
