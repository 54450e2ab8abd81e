use axum::{Json, extract::State, response::IntoResponse};

use crate::{
    admin::{
        answers::{Answer, Listing},
        extract::{Caller, NoParams, Params},
        identity::Permission,
        model::{Moment, PolicyView},
        state::Api,
    },
    policy::Freshness,
};

/// Shows which policy is in force.
#[utoipa::path(
    get, path = "/v1/policy", operation_id = "show_policy", tag = "policy",
    responses((status = 200, description = "The policy's version and size", body = PolicyView), Listing)
)]
pub(in crate::admin) async fn show(
    caller: Caller,
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
) -> Answer {
    caller.visible(Permission::Read)?;
    let committed = api.store.committed().await?;
    let policy = api.policy.current();
    let workloads = policy.workloads.keys().filter(|name| caller.sees(name.as_str())).count();
    let measurements =
        policy.all_admitting().filter(|admitting| caller.sees(admitting.workload.name.as_str())).count();
    let view = PolicyView {
        deployment: api.deployment.to_string(),
        epoch: committed.epoch.0,
        committed_at: Moment(committed.at),
        epoch_in_force: policy.epoch.0,
        fresh: api.policy.freshness() == Freshness::Fresh,
        workloads: workloads as u64,
        measurements: measurements as u64,
        approvals: api.approvals,
        trust_root: api.verifier.anchor().name().to_owned(),
    };
    Ok(Json(view).into_response())
}
