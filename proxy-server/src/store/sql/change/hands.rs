//! Who may be one person under several names.

use std::collections::BTreeSet;

use super::lock::PolicyChange;
use crate::store::sql::connection::Failure;

/// `subject`, and those of `others` who may be the same person: who made his token, directly or through other
/// tokens, and whose token he made so. Read under the change's lock, like what it is decided for.
///
/// Two tokens that somebody else made are two people: nobody here knows better.
pub(super) async fn hands(
    change: &mut PolicyChange,
    subject: &str,
    others: &[&str],
) -> Result<BTreeSet<String>, Failure> {
    let mine = makers(change, subject).await?;
    let mut hands = BTreeSet::from([subject.to_owned()]);
    for other in others.iter().copied() {
        if mine.iter().any(|maker| maker == other)
            || makers(change, other).await?.iter().any(|maker| maker == subject)
        {
            hands.insert(other.to_owned());
        }
    }
    Ok(hands)
}

/// Who made a token, and the token that it was made with, and so on; nobody made another subject.
async fn makers(change: &mut PolicyChange, subject: &str) -> Result<Vec<String>, Failure> {
    let mut id = [0; 16];
    let Some(Ok(())) = subject.strip_prefix("token:").map(|digits| hex::decode_to_slice(digits, &mut id))
    else {
        return Ok(Vec::new());
    };
    let Some(row) = change.transaction.fetch_optional(MAKERS, &[(&id).into()]).await? else {
        return Ok(Vec::new());
    };
    // As `admin::identity::Lineage` writes it: a space between them.
    Ok(row.get::<&str>(0)?.split(' ').map(str::to_owned).collect())
}

const MAKERS: &str = "SELECT created_by FROM token WHERE id = $1";
