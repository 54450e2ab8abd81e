use std::time::Duration;

use crate::{
    admin::identity::{
        Denied, Disclosure, Grant, Lineage, Permission, Principal, Role, Roles, Scope, TokenLife, TokenRecord,
    },
    policy::WorkloadName,
    store::UnixMs,
};

fn somebody(roles: &str, scope: &str) -> Principal {
    Principal::for_tests("oidc:alice", roles.parse().unwrap(), scope.parse().unwrap())
}

fn name(text: &str) -> WorkloadName {
    text.parse().unwrap()
}

fn roles(text: &str) -> Roles {
    text.parse().unwrap()
}

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

fn made(grant: Grant) -> TokenRecord {
    let life = TokenLife::new(Duration::from_secs(3_600)).unwrap();
    TokenRecord::make(grant, "t".parse().unwrap(), life, UnixMs(0)).unwrap().1
}

#[test]
fn a_role_is_needed_whatever_the_scope() {
    let viewer = somebody("viewer", "*");
    assert_eq!(viewer.may(Permission::Read, Some(&name("a"))), Ok(()));
    assert_eq!(viewer.may(Permission::ReadAudit, None), Ok(()));
    let denied = viewer.may(Permission::Revoke, Some(&name("a"))).unwrap_err();
    let expected = Denied::Role {
        permission: Permission::Revoke,
        needed: roles("operator,admin"),
        held: Role::Viewer.into(),
    };
    assert_eq!(denied, expected);
    assert_eq!(denied.code(), "role-missing");
    assert_eq!(denied.disclosure(), Disclosure::Forbidden);
    assert_eq!(
        denied.to_string(),
        "revoke needs one of the roles operator,admin; these credentials have viewer"
    );
}

#[test]
fn what_lies_outside_the_scope_looks_as_if_it_did_not_exist() {
    let operator = somebody("operator", "payments");
    assert_eq!(operator.may(Permission::Revoke, Some(&name("payments"))), Ok(()));
    assert!(operator.sees(&name("payments")) && !operator.sees(&name("ledger")));
    let denied = operator.may(Permission::Revoke, Some(&name("ledger"))).unwrap_err();
    assert_eq!(denied, Denied::OutsideScope { asked: scope("ledger") });
    assert_eq!(denied.disclosure(), Disclosure::NotFound);

    // Where the role is missing too, the answer is that of a workload inside: no way to probe.
    let inside = operator.may(Permission::Change, Some(&name("payments")));
    assert_eq!(operator.may(Permission::Change, Some(&name("ledger"))), inside);
}

#[test]
fn the_installation_as_a_whole_needs_everything() {
    let everywhere = somebody("admin", "*");
    let scoped = somebody("admin", "payments");
    for permission in Permission::ALL {
        assert_eq!(everywhere.may(permission, None), Ok(()), "{permission}");
        let denied = scoped.may(permission, None).unwrap_err();
        assert_eq!(denied, Denied::OutsideScope { asked: Scope::Everything }, "{permission}");
        assert_eq!((denied.code(), denied.disclosure()), ("installation-wide", Disclosure::Forbidden));
        assert_eq!(scoped.may_somewhere(permission), Ok(()), "a list of what it sees");
    }
}

#[test]
fn an_empty_scope_denies() {
    let nowhere = Scope::Workloads(Default::default());
    let nobody = Principal::for_tests("oidc:x", Role::Admin.into(), nowhere);
    assert!(!nobody.sees(&name("a")));
    assert!(nobody.may(Permission::Read, Some(&name("a"))).is_err());
    assert!(nobody.may(Permission::Read, None).is_err());
}

#[test]
fn a_token_gives_no_more_than_its_maker_has() {
    let admin = somebody("admin", "a,b");
    for (given, at) in [("viewer", "a"), ("admin", "a,b"), ("operator,approver", "b")] {
        let grant = admin.grant(roles(given), scope(at)).unwrap();
        let holder = Principal::holding(&made(grant));
        assert_eq!((holder.roles(), holder.scope()), (roles(given), &scope(at)));
    }
    for wide in ["*", "c", "a,c"] {
        let denied = admin.grant(roles("viewer"), scope(wide)).unwrap_err();
        assert_eq!(denied, Denied::OutsideScope { asked: scope(wide) });
    }
    for others in ["viewer", "operator", "approver", "viewer,operator,approver"] {
        let denied = somebody(others, "*").grant(roles("viewer"), scope("a")).unwrap_err();
        assert_eq!(denied.code(), "role-missing", "{others}");
    }
}

#[test]
fn tokens_of_other_teams_do_not_exist() {
    let admin = somebody("admin", "a,b");
    let token = |at: &str| made(Grant::danger_of_the_machine("root", Role::Viewer.into(), scope(at)));
    assert_eq!(admin.may_manage(&token("a")), Ok(()));
    for outside in ["c", "a,c"] {
        let denied = admin.may_manage(&token(outside)).unwrap_err();
        assert_eq!(denied.disclosure(), Disclosure::NotFound, "{outside}");
    }
    assert!(admin.may_manage(&token("*")).is_err());
    assert_eq!(somebody("admin", "*").may_manage(&token("*")), Ok(()));
    assert_eq!(somebody("operator", "*").may_manage(&token("a")).unwrap_err().code(), "role-missing");
}

#[test]
fn a_token_says_who_made_it_and_with_what() {
    let alice = somebody("admin", "*");
    let first = made(alice.grant(roles("admin"), scope("*")).unwrap());
    assert_eq!(first.created_by.to_string(), alice.subject().to_string());
    let first = Principal::holding(&first);
    let second = made(first.grant(roles("approver"), scope("*")).unwrap());
    assert_eq!(second.created_by.to_string(), format!("{} {}", first.subject(), alice.subject()));
}

#[test]
fn tokens_of_tokens_end_somewhere() {
    let mut holder = Principal::holding(&made(Grant::danger_of_the_machine(
        "root",
        Role::Admin.into(),
        Scope::Everything,
    )));
    for _ in 1..Lineage::MAX {
        holder = Principal::holding(&made(holder.grant(roles("admin"), scope("*")).unwrap()));
    }
    assert_eq!(holder.grant(roles("viewer"), scope("a")), Err(Denied::TooDeep));
}
