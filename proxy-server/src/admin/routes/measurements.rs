use axum::extract::State;
use http::Uri;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{ReasonParams, measurement, workload};
use crate::{
    admin::{
        answers::{self, Acting, Answer, Changing, Creating, Listing, Reading},
        extract::{
            Body, Caller, ChangeParams, IdempotencyHeader, IdempotencyKey, IfMatchHeader, Limit, Match,
            MeasurementPath, MeasurementPlace, NoParams, PageParams, Params, WorkloadPath, WorkloadPlace,
            page,
        },
        identity::Permission,
        model::{
            AddMeasurement, MeasurementListing, MeasurementPatch, MeasurementView, Noun, Outcome, StateWord,
            Text,
        },
        state::{Api, Terms},
    },
    policy::WorkloadName,
    store::{Change, MeasurementFilter, Precondition, Waiting},
};
use countersign_verifier::Pcr;

/// Which measurements.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct Filter {
    /// Of this workload.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9][a-z0-9._-]{0,63}$", nullable = false)]
    workload: Option<Text<WorkloadName>>,
    /// In this state.
    #[param(inline, nullable = false)]
    state: Option<StateWord>,
    /// With this PCR0.
    #[param(value_type = Option<String>, pattern = "^[0-9a-fA-F]{96}$", nullable = false)]
    pcr0: Option<Text<Pcr>>,
    /// Only those of which something waits for approval: a new one, or a validity that allows more.
    #[param(nullable = false, default = false)]
    waiting: Option<bool>,
    /// The most rows to give.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, default = 100, nullable = false)]
    limit: Option<Limit>,
    /// `next` of the page before.
    #[param(max_length = 1024, pattern = "^[A-Za-z0-9_-]{8,1024}$", nullable = false)]
    cursor: Option<String>,
}

/// Lists measurements of all workloads.
#[utoipa::path(
    get, path = "/v1/measurements", operation_id = "list_all_measurements", tag = "measurements", params(Filter),
    responses((status = 200, description = "A page, by workload and name", body = MeasurementListing, headers(("Link" = String, description = "The next page"))), Listing)
)]
pub(in crate::admin) async fn all(
    caller: Caller,
    State(api): State<Api>,
    uri: Uri,
    Params(params): Params<Filter>,
) -> Answer {
    let visible = caller.visible(Permission::Read)?;
    let Filter { workload, state, pcr0, waiting, limit, cursor } = params;
    let filter = MeasurementFilter {
        workload: workload.map(|Text(name)| name.to_string()),
        state: state.map(Into::into),
        pcr0: pcr0.map(|Text(pcr)| pcr.to_string()),
        waiting: waiting.unwrap_or_default().then_some(Waiting),
    };
    let paged = api.store.measurements(&visible, &filter, page(limit, cursor.as_deref(), LIST)?).await?;
    Ok(answers::page::<_, MeasurementView, MeasurementListing>(paged, LIST, &uri))
}

/// Lists a workload's measurements.
#[utoipa::path(
    get, path = "/v1/workloads/{workload}/measurements", operation_id = "list_measurements", tag = "measurements", params(WorkloadPath, PageParams),
    responses(
        (status = 200, description = "A page, by name", body = MeasurementListing, headers(("Link" = String, description = "The next page"))),
        (status = 404, description = "There is no such workload, or it is not the caller's to see", body = crate::admin::problem::Problem, content_type = "application/problem+json"),
        Listing,
    )
)]
pub(in crate::admin) async fn list(
    caller: Caller,
    State(api): State<Api>,
    place: WorkloadPlace,
    uri: Uri,
    Params(params): Params<PageParams>,
) -> Answer {
    caller.may(Permission::Read, &place.workload)?;
    workload(&api, &place.workload).await?;
    let visible = caller.visible(Permission::Read)?;
    let filter =
        MeasurementFilter { workload: Some(place.workload.to_string()), ..MeasurementFilter::default() };
    let paged = api.store.measurements(&visible, &filter, params.page(LIST)?).await?;
    Ok(answers::page::<_, MeasurementView, MeasurementListing>(paged, LIST, &uri))
}

/// Adds a measurement: active at once, or pending where approvals are asked for.
#[utoipa::path(
    post, path = "/v1/workloads/{workload}/measurements", operation_id = "add_measurement", tag = "measurements",
    params(WorkloadPath, ChangeParams, IdempotencyHeader), request_body = AddMeasurement,
    responses(
        (status = 200, description = "A dry run: what would come of it", body = Outcome),
        (status = 201, description = "Added", body = Outcome, headers(("Location" = String), ("ETag" = String))),
        Creating,
    )
)]
pub(in crate::admin) async fn add(
    caller: Caller,
    State(api): State<Api>,
    place: WorkloadPlace,
    Params(params): Params<ChangeParams>,
    key: IdempotencyKey,
    body: Body<AddMeasurement>,
) -> Answer {
    caller.may(Permission::Change, &place.workload)?;
    let measurement = body.value.check()?;
    let location = format!("/v1/workloads/{}/measurements/{}", place.workload, measurement.name);
    let change = Change::AddMeasurement { workload: place.workload, measurement };
    let terms = Terms::given(Precondition::Absent, params.mode()).once(key, body.digest);
    let changed = api.change(&caller, change, terms).await?;
    Ok(answers::changed(changed, params.mode(), Noun::Change, Some(location)))
}

/// Shows a measurement.
#[utoipa::path(
    get, path = "/v1/workloads/{workload}/measurements/{measurement}", operation_id = "show_measurement", tag = "measurements", params(MeasurementPath),
    responses((status = 200, description = "The measurement", body = MeasurementView, headers(("ETag" = String))), Reading)
)]
pub(in crate::admin) async fn show(
    caller: Caller,
    State(api): State<Api>,
    place: MeasurementPlace,
    Params(NoParams {}): Params<NoParams>,
) -> Answer {
    caller.may(Permission::Read, &place.workload)?;
    let row = measurement(&api, &place.workload, &place.measurement).await?;
    let revision = row.revision;
    Ok(answers::tagged(MeasurementView::from(row), revision))
}

/// Changes what people read of a measurement, and its validity. Its PCRs never change.
#[utoipa::path(
    patch, path = "/v1/workloads/{workload}/measurements/{measurement}", operation_id = "change_measurement", tag = "measurements",
    params(MeasurementPath, ChangeParams, IfMatchHeader), request_body = MeasurementPatch,
    responses((status = 200, description = "Changed, or a dry run", body = Outcome, headers(("ETag" = String))), Changing)
)]
pub(in crate::admin) async fn patch(
    caller: Caller,
    State(api): State<Api>,
    place: MeasurementPlace,
    Params(params): Params<ChangeParams>,
    expected: Match,
    body: Body<MeasurementPatch>,
) -> Answer {
    caller.may(Permission::Change, &place.workload)?;
    let asked = expected.of_existing()?;
    let row = measurement(&api, &place.workload, &place.measurement).await?;
    // The patch is worked out on this revision, so it holds for this revision only.
    let precondition = match asked {
        Precondition::None => Precondition::Revision(row.revision),
        Precondition::Absent | Precondition::Revision(_) => asked,
    };
    let edit = body.value.apply(row)?;
    let change = Change::EditMeasurement { workload: place.workload, name: place.measurement, edit };
    let changed = api.change(&caller, change, Terms::given(precondition, params.mode())).await?;
    Ok(answers::changed(changed, params.mode(), Noun::Change, None))
}

/// Revokes a measurement for good: its sessions end, and its PCRs leave a tombstone.
#[utoipa::path(
    delete, path = "/v1/workloads/{workload}/measurements/{measurement}", operation_id = "revoke_measurement", tag = "measurements",
    params(MeasurementPath, ReasonParams, IfMatchHeader),
    responses((status = 200, description = "Revoked, or a dry run", body = Outcome), Acting)
)]
pub(in crate::admin) async fn revoke(
    caller: Caller,
    State(api): State<Api>,
    place: MeasurementPlace,
    Params(params): Params<ReasonParams>,
    expected: Match,
) -> Answer {
    caller.may(Permission::Revoke, &place.workload)?;
    let expected = expected.of_existing()?;
    let (mode, reason) = params.take();
    let change = Change::RevokeMeasurement { workload: place.workload, name: place.measurement, reason };
    let changed = api.change(&caller, change, Terms::given(expected, mode)).await?;
    Ok(answers::changed(changed, mode, Noun::Revocation, None))
}

const LIST: &str = "measurements";
