use axum::{Json, extract::State, response::IntoResponse};
use http::{StatusCode, Uri, header};

use crate::{
    admin::{
        answers::{self, Acting, Answer, Creating, Listing},
        extract::{Body, Caller, NoParams, PageParams, Params, TokenPath, TokenPlace},
        identity::{Permission, TokenRecord},
        model::{NewToken, TokenListing, TokenMade, TokenView},
        problem::ApiError,
        state::{Api, Shared},
        tokens::{record, row},
    },
    store::{Page, Paged, UnixMs},
};

/// Lists API tokens, without their secrets: those that reach nowhere the caller does not reach.
#[utoipa::path(
    get, path = "/v1/tokens", operation_id = "list_tokens", tag = "tokens", params(PageParams),
    responses((status = 200, description = "A page, by id", body = TokenListing, headers(("Link" = String, description = "The next page"))), Listing)
)]
pub(in crate::admin) async fn list(
    caller: Caller,
    State(api): State<Api>,
    uri: Uri,
    Params(params): Params<PageParams>,
) -> Answer {
    caller.visible(Permission::ManageTokens)?;
    if caller.may_everywhere(Permission::ManageTokens).is_ok() {
        let Paged { rows, next } = api.store.tokens(params.page(LIST)?).await?;
        let rows = rows.into_iter().map(record).collect::<Result<Vec<_>, _>>()?;
        return Ok(answers::page::<_, TokenView, TokenListing>(Paged { rows, next }, LIST, &uri));
    }
    // The store's cursors are ids, also of tokens of others: here a page begins after one that was shown.
    let Page { after, limit } = params.page(LIST_OF_SOME)?;
    let mut mine = all(&api).await?;
    mine.retain(|record| caller.principal().may_manage(record).is_ok());
    mine.sort_by_key(|record| record.id);
    mine.retain(|record| after.as_ref().is_none_or(|after| record.id.to_string() > *after));
    let more = mine.len() > limit as usize;
    mine.truncate(limit as usize);
    let next = mine.last().filter(|_| more).map(|record| record.id.to_string());
    Ok(answers::page::<_, TokenView, TokenListing>(Paged { rows: mine, next }, LIST_OF_SOME, &uri))
}

/// Makes an API token. Its secret is in this answer and nowhere else.
///
/// There is no Idempotency-Key here, since a secret is not kept to be told
/// again: a name that was used is `exists`, and a token whose secret was lost
/// is revoked.
#[utoipa::path(
    post, path = "/v1/tokens", operation_id = "make_token", tag = "tokens", request_body = NewToken,
    responses((status = 201, description = "The token and its secret", body = TokenMade, headers(("Location" = String))), Creating)
)]
pub(in crate::admin) async fn make(
    caller: Caller,
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
    body: Body<NewToken>,
) -> Answer {
    caller.visible(Permission::ManageTokens)?;
    let (name, roles, scope, life) = body.value.check()?;
    let grant = caller.principal().grant(roles, scope)?;
    let (token, made) = TokenRecord::make(grant, name, life, UnixMs::now()).map_err(ApiError::internal)?;
    api.store.add_token(&row(&made), &caller.actor()).await.map_err(|error| caller.refused(error))?;
    let location = format!("/v1/tokens/{}", made.id);
    let answer = TokenMade { secret: token.reveal().to_string(), token: TokenView::from(made) };
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(answer)).into_response())
}

/// Revokes an API token: it is worth nothing from now on.
#[utoipa::path(
    delete, path = "/v1/tokens/{token}", operation_id = "revoke_token", tag = "tokens", params(TokenPath),
    responses((status = 204, description = "Revoked"), Acting)
)]
pub(in crate::admin) async fn revoke(
    caller: Caller,
    State(api): State<Api>,
    TokenPlace(id): TokenPlace,
    Params(NoParams {}): Params<NoParams>,
) -> Answer {
    caller.visible(Permission::ManageTokens)?;
    let known = all(&api).await?.into_iter().find(|record| record.id == id);
    // One of others and one that nobody made are told in the same words.
    let known = known.filter(|record| caller.principal().may_manage(record).is_ok());
    known.ok_or_else(|| ApiError::not_found(format_args!("token {id}")))?;
    let revoked = api.store.revoke_token(*id.as_bytes(), &caller.actor(), UnixMs::now()).await;
    revoked.map_err(|error| caller.refused(error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Every token: they are made by hand, and pruned when they are long over.
pub(super) async fn all(api: &Shared) -> Result<Vec<TokenRecord>, ApiError> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = api.store.tokens(Page { after, limit: Page::MOST }).await?;
        for row in page.rows {
            all.push(record(row)?);
        }
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

const LIST: &str = "tokens";
const LIST_OF_SOME: &str = "tokens-of-some";
