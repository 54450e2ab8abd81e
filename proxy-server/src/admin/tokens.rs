//! Tokens between the store's rows and the identity's records.

use std::{fmt, sync::Arc};

use super::identity::{
    FailedLogin, FailedLogins, Lineage, Roles, Scope, Subject, TokenHash, TokenId, TokenName, TokenRecord,
    Tokens,
};
use crate::{
    policy::PolicyHandle,
    store::{Answer, AuditEvent, Journal, Store, StoreError, TokenRow, UnixMs},
};

/// The tokens of the store, for an [`super::identity::Authenticator`].
pub struct StoreTokens(Arc<dyn Store>);

impl StoreTokens {
    /// Those of this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }
}

impl Tokens for StoreTokens {
    fn find<'a>(&'a self, hash: &'a TokenHash) -> Answer<'a, Option<TokenRecord>> {
        Box::pin(async move {
            let row = self.0.token_by_hash(*hash.as_bytes()).await?;
            row.map(record).transpose()
        })
    }

    fn used(&self, id: &TokenId, at: UnixMs) {
        let (store, id) = (Arc::clone(&self.0), *id.as_bytes());
        // The request does not wait for it. The identity asks at most once a minute for a token.
        tokio::spawn(async move {
            if let Err(error) = store.touch_token(id, at).await {
                tracing::warn!(code = "token-use-not-noted", error = %crate::log::Chain(&error), "when a token was used was not noted");
            }
        });
    }
}

/// Failed logins go to the audit, and nobody waits for them.
pub struct AuditedLogins {
    journal: Journal,
    policy: PolicyHandle,
}

impl AuditedLogins {
    /// Those of this process.
    pub fn new(journal: Journal, policy: PolicyHandle) -> Self {
        Self { journal, policy }
    }
}

impl FailedLogins for AuditedLogins {
    fn failed(&self, failure: FailedLogin) {
        let FailedLogin { network, code, subject, failures, unreported } = failure;
        tracing::warn!(code, %network, failures, unreported, "a login failed");
        self.journal.note(AuditEvent {
            at: UnixMs::now(),
            kind: "access".into(),
            code: code.into(),
            epoch: self.policy.epoch(),
            workload: None,
            measurement: None,
            session: None,
            request_id: None,
            actor: subject.as_ref().map(Subject::to_string),
            before: None,
            after: None,
            evidence: None,
            detail: Some(format!("{failures} from {network} in a row; {unreported} more were not reported")),
        });
    }
}

/// What a row says.
///
/// # Errors
/// [`StoreError::Corrupt`]: a row that cannot be read lets nobody in.
pub(super) fn record(row: TokenRow) -> Result<TokenRecord, StoreError> {
    let TokenRow { id, name, hash, roles, scope, created_by, created, expires, last_used, revoked } = row;
    let row = format!("token {}", hex::encode(id));
    let corrupt =
        |reason: &dyn fmt::Display| StoreError::Corrupt { row: row.clone(), reason: reason.to_string() };
    Ok(TokenRecord {
        id: TokenId::from_bytes(id),
        name: name.parse::<TokenName>().map_err(|error| corrupt(&error))?,
        hash: TokenHash::from_bytes(hash),
        roles: roles.parse::<Roles>().map_err(|error| corrupt(&error))?,
        scope: match scope {
            None => Scope::Everything,
            Some(names) => Scope::of_names(names.split(',')).map_err(|error| corrupt(&error))?,
        },
        created_by: created_by.parse::<Lineage>().map_err(|error| corrupt(&error))?,
        created,
        expires,
        last_used,
        revoked,
    })
}

/// The row of a record.
pub fn row(record: &TokenRecord) -> TokenRow {
    let TokenRecord { id, name, hash, roles, scope, created_by, created, expires, last_used, revoked } =
        record;
    TokenRow {
        id: *id.as_bytes(),
        name: name.as_str().to_owned(),
        hash: *hash.as_bytes(),
        roles: roles.to_string(),
        scope: match scope {
            Scope::Everything => None,
            Scope::Workloads(_) => Some(scope.to_string()),
        },
        created_by: created_by.to_string(),
        created: *created,
        expires: *expires,
        last_used: *last_used,
        revoked: *revoked,
    }
}
