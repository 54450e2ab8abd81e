use std::collections::BTreeSet;

use crate::store::ChangeError;

/// Whether somebody may say yes to what `authors` wrote and `approvers` have approved so far.
/// `hands`: those of them who may be the same person.
pub(in crate::store) fn may_approve(
    subject: &str,
    hands: &BTreeSet<String>,
    authors: &[Option<&str>],
    approvers: &[String],
) -> Result<(), ChangeError> {
    if authors.iter().flatten().any(|author| hands.contains(*author)) {
        return Err(ChangeError::OwnApproval { subject: subject.to_owned() });
    }
    if approvers.iter().any(|approver| hands.contains(approver)) {
        return Err(ChangeError::AlreadyApproved { subject: subject.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authors_and_those_who_did_already_do_not_approve() {
        let approvers = ["ann".to_owned()];
        let own = |who: &str| Err(ChangeError::OwnApproval { subject: who.to_owned() });
        let may_approve = |who: &str, hands: &[&str], authors: &[Option<&str>]| {
            let hands = hands.iter().copied().chain([who]).map(str::to_owned).collect();
            may_approve(who, &hands, authors, &approvers)
        };
        assert_eq!(may_approve("bob", &[], &[Some("bob"), None]), own("bob"));
        assert_eq!(may_approve("eve", &[], &[Some("bob"), Some("eve")]), own("eve"));
        assert_eq!(may_approve("bobs", &["bob"], &[None, Some("bob")]), own("bobs"));
        let again = Err(ChangeError::AlreadyApproved { subject: "ann".to_owned() });
        assert_eq!(may_approve("ann", &[], &[Some("bob"), None]), again);
        let again = Err(ChangeError::AlreadyApproved { subject: "anns".to_owned() });
        assert_eq!(may_approve("anns", &["ann"], &[Some("bob"), None]), again);
        assert_eq!(may_approve("cat", &["dan"], &[Some("bob"), None]), Ok(()));
    }
}
