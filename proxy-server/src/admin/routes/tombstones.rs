use axum::extract::State;
use countersign_verifier::PcrSet;
use http::Uri;

use super::ReasonParams;
use crate::{
    admin::{
        answers::{self, Acting, Answer, Listing},
        extract::{Caller, PageParams, Params, TombstonePath, TombstonePlace},
        identity::Permission,
        model::{Noun, Outcome, TombstoneListing, TombstoneView},
        problem::ApiError,
        state::{Api, Shared, Terms},
    },
    store::{Change, Page, Precondition, TombstoneRow, Visible},
};

/// Lists revoked sets of PCRs.
#[utoipa::path(
    get, path = "/v1/tombstones", operation_id = "list_tombstones", tag = "tombstones", params(PageParams),
    responses((status = 200, description = "A page", body = TombstoneListing, headers(("Link" = String, description = "The next page"))), Listing)
)]
pub(in crate::admin) async fn list(
    caller: Caller,
    State(api): State<Api>,
    uri: Uri,
    Params(params): Params<PageParams>,
) -> Answer {
    let visible = caller.visible(Permission::Read)?;
    let paged = api.store.tombstones(&visible, params.page(LIST)?).await?;
    Ok(answers::page::<_, TombstoneView, TombstoneListing>(paged, LIST, &uri))
}

/// Lifts a tombstone: the PCRs may be added again. Revoked measurements stay revoked.
#[utoipa::path(
    delete, path = "/v1/tombstones/{tombstone}", operation_id = "lift_tombstone", tag = "tombstones", params(TombstonePath, ReasonParams),
    responses((status = 200, description = "Lifted, or a dry run", body = Outcome), Acting)
)]
pub(in crate::admin) async fn lift(
    caller: Caller,
    State(api): State<Api>,
    TombstonePlace(pcrs): TombstonePlace,
    Params(params): Params<ReasonParams>,
) -> Answer {
    let visible = caller.visible(Permission::Change)?;
    let row =
        find(&api, &visible, &pcrs).await?.ok_or_else(|| ApiError::not_found("tombstone of that id"))?;
    match row.workload.parse() {
        Ok(workload) => caller.may(Permission::Change, &workload)?,
        // Revoked by itself: it holds in every workload.
        Err(_) => caller.may_everywhere(Permission::Change)?,
    }
    let (mode, reason) = params.take();
    // That row and no other: somebody may bury the same set anew meanwhile, for more than this caller may lift.
    let judged = Terms::given(Precondition::Revision(row.epoch.0), mode);
    let changed = api.change(&caller, Change::LiftTombstone { pcrs, reason }, judged).await?;
    Ok(answers::changed(changed, mode, Noun::Change, None))
}

/// Looks through all that the caller sees: there are few, and this is rare.
async fn find(api: &Shared, visible: &Visible, pcrs: &PcrSet) -> Result<Option<TombstoneRow>, ApiError> {
    let mut after = None;
    loop {
        let page = api.store.tombstones(visible, Page { after, limit: Page::MOST }).await?;
        if let Some(row) = page.rows.into_iter().find(|row| row.pcrs == *pcrs) {
            return Ok(Some(row));
        }
        after = page.next;
        if after.is_none() {
            return Ok(None);
        }
    }
}

const LIST: &str = "tombstones";
