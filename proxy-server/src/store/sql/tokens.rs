//! API tokens.

use serde_json::json;

use super::{
    SqlStore,
    change::lock::{PolicyChange, Said},
    connection::{Failure, Row},
    lists::{bad_cursor, limit, paged},
};
use crate::store::{Actor, ChangeError, Page, Paged, TokenRow, UnixMs};

impl SqlStore {
    pub(super) async fn insert_token(&self, token: &TokenRow, actor: &Actor) -> Result<(), Failure> {
        let TokenRow { id, name, hash, roles, scope, created_by, created, expires, last_used, revoked } =
            token;
        let mut change = PolicyChange::begin(self, *created).await?;
        if change.transaction.fetch_optional(LIVE, &[name.into(), (*created).into()]).await?.is_some() {
            return Err(ChangeError::Exists { what: format!("token {name}") }.into());
        }
        let all = change.transaction.fetch_one("SELECT count(*) FROM token", &[]).await?.count(0)?;
        if all >= MOST_TOKENS {
            return Err(ChangeError::TooMany { what: "tokens", limit: MOST_TOKENS }.into());
        }
        let values = [
            id.into(),
            name.into(),
            hash.into(),
            roles.into(),
            scope.into(),
            created_by.into(),
            (*created).into(),
            (*expires).into(),
            (*last_used).into(),
            (*revoked).into(),
        ];
        change.transaction.execute(INSERT, &values).await?;
        self.say(&mut change, actor, "token-added", None, Some(token)).await?;
        change.commit().await?;
        Ok(())
    }

    pub(super) async fn token_of_hash(&self, hash: [u8; 32]) -> Result<Option<TokenRow>, Failure> {
        let row = self.reader.fetch_optional(BY_HASH, &[(&hash).into()]).await?;
        Ok(row.as_ref().map(token).transpose()?)
    }

    pub(super) async fn token_page(&self, page: &Page) -> Result<Paged<TokenRow>, Failure> {
        let limit = limit(page);
        let after = page.after.as_deref().map(hex::decode).transpose().map_err(|_| bad_cursor())?;
        let after = after.unwrap_or_default();
        let rows = self.reader.fetch_all(PAGE, &[after.as_slice().into(), (limit + 1).into()]).await?;
        let rows = rows.iter().map(token).collect::<Result<_, _>>()?;
        Ok(paged(rows, limit, |token: &TokenRow| hex::encode(token.id)))
    }

    pub(super) async fn end_token(&self, id: [u8; 16], actor: &Actor, now: UnixMs) -> Result<(), Failure> {
        let mut change = PolicyChange::begin(self, now).await?;
        let what = || format!("token {}", hex::encode(id));
        let Some(row) = change.transaction.fetch_optional(BY_ID, &[(&id).into()]).await? else {
            return Err(ChangeError::NotFound { what: what(), known: Vec::new() }.into());
        };
        let before = token(&row)?;
        if before.revoked.is_some() {
            return Err(ChangeError::AlreadyRevoked { what: what() }.into());
        }
        change.transaction.execute(REVOKE, &[(&id).into(), now.into()]).await?;
        let after = TokenRow { revoked: Some(now), ..before.clone() };
        self.say(&mut change, actor, "token-revoked", Some(&before), Some(&after)).await?;
        change.commit().await?;
        Ok(())
    }

    /// At most once a minute for each: a busy token must not be a busy row.
    pub(super) async fn note_token_use(&self, id: [u8; 16], now: UnixMs) -> Result<(), Failure> {
        let before = UnixMs(now.0.saturating_sub(60_000));
        self.journal.execute(TOUCH, &[(&id).into(), now.into(), before.into()]).await?;
        Ok(())
    }

    async fn say(
        &self,
        change: &mut PolicyChange,
        actor: &Actor,
        code: &'static str,
        before: Option<&TokenRow>,
        after: Option<&TokenRow>,
    ) -> Result<(), Failure> {
        // Without the hash: it is as good as useless, and still no business of who reads the audit.
        let json = |token: &TokenRow| {
            json!({
                "id": hex::encode(token.id), "name": token.name, "roles": token.roles, "scope": token.scope,
                "expires_ms": token.expires.0, "revoked_ms": token.revoked.map(|at| at.0),
            })
        };
        let said = Said {
            kind: "access",
            code,
            before: before.map(json),
            after: after.map(json),
            ..Said::default()
        };
        change.say(Some(actor), said).await
    }
}

fn token(row: &Row) -> Result<TokenRow, sqlx::Error> {
    Ok(TokenRow {
        id: row.bytes(0)?,
        name: row.get(1)?,
        hash: row.bytes(2)?,
        roles: row.get(3)?,
        scope: row.get(4)?,
        created_by: row.get(5)?,
        created: row.time(6)?,
        expires: row.time(7)?,
        last_used: row.optional_time(8)?,
        revoked: row.optional_time(9)?,
    })
}

/// The most tokens, dead ones too.
const MOST_TOKENS: u64 = 10_000;

macro_rules! columns {
    () => {
        "SELECT id, name, hash, roles, scope, created_by, created_ms, expires_ms, last_used_ms, revoked_ms FROM token"
    };
}

const LIVE: &str = "SELECT id FROM token WHERE name = $1 AND revoked_ms IS NULL AND expires_ms > $2 LIMIT 1";
const INSERT: &str = "
INSERT INTO token (id, name, hash, roles, scope, created_by, created_ms, expires_ms, last_used_ms, revoked_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const BY_HASH: &str = concat!(columns!(), " WHERE hash = $1");
const BY_ID: &str = concat!(columns!(), " WHERE id = $1");
const PAGE: &str = concat!(columns!(), " WHERE id > $1 ORDER BY id LIMIT $2");
const REVOKE: &str = "UPDATE token SET revoked_ms = $2 WHERE id = $1";
const TOUCH: &str = "
UPDATE token SET last_used_ms = $2 WHERE id = $1 AND (last_used_ms IS NULL OR last_used_ms <= $3)";
