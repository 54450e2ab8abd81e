use crate::store::ChangeError;

/// Whether somebody may say yes to what `authors` wrote and `approvers` have approved so far.
pub(in crate::store) fn may_approve(
    subject: &str,
    authors: &[Option<&str>],
    approvers: &[String],
) -> Result<(), ChangeError> {
    if authors.contains(&Some(subject)) {
        return Err(ChangeError::OwnApproval { subject: subject.to_owned() });
    }
    if approvers.iter().any(|approver| approver == subject) {
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
        assert_eq!(may_approve("bob", &[Some("bob"), None], &approvers), own("bob"));
        assert_eq!(may_approve("eve", &[Some("bob"), Some("eve")], &approvers), own("eve"));
        let again = Err(ChangeError::AlreadyApproved { subject: "ann".to_owned() });
        assert_eq!(may_approve("ann", &[Some("bob"), None], &approvers), again);
        assert_eq!(may_approve("cat", &[Some("bob"), None], &approvers), Ok(()));
    }
}
