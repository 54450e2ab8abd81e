use std::fmt;

use super::{Lineage, Permission, Roles, Scope, Subject, TokenRecord};
use crate::policy::WorkloadName;

/// Somebody who proved who he is. An [`super::Authenticator`] makes one, and
/// [`Principal::danger_of_the_machine`] for whom nobody has to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    subject: Subject,
    roles: Roles,
    scope: Scope,
    /// Who made his token, when he came with one.
    made_by: Option<Lineage>,
}

impl Principal {
    /// Somebody whom a provider or a certificate names.
    pub(super) fn named(subject: Subject, roles: Roles, scope: Scope) -> Self {
        Self { subject, roles, scope, made_by: None }
    }

    /// Whoever holds a token.
    pub(super) fn holding(token: &TokenRecord) -> Self {
        Self {
            subject: Subject::token(&token.id),
            roles: token.roles,
            scope: token.scope.clone(),
            made_by: Some(token.created_by.clone()),
        }
    }

    /// Whoever runs a command on the machine itself, which may do everything: he
    /// can write to the store without asking anybody. Never to be called for a
    /// request from the network.
    pub fn danger_of_the_machine(user: &str) -> Self {
        Self::named(Subject::local(user), super::Role::Admin.into(), Scope::Everything)
    }

    /// Somebody for a test of what principals may do.
    #[cfg(test)]
    pub(crate) fn for_tests(subject: &str, roles: Roles, scope: Scope) -> Self {
        Self::named(subject.parse().unwrap(), roles, scope)
    }

    /// Who he is, for the audit.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// What kind of acts he may do.
    pub fn roles(&self) -> Roles {
        self.roles
    }

    /// On which workloads.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether he may do this to `workload`. `None` is the installation as a
    /// whole: tokens of all, details of replicas, the audit of all workloads.
    ///
    /// The role is looked at first, and whether a workload exists never is: so
    /// the answer is the same for a workload of others and for one that does
    /// not exist.
    ///
    /// # Errors
    /// [`Denied::Role`], [`Denied::OutsideScope`].
    pub fn may(&self, permission: Permission, workload: Option<&WorkloadName>) -> Result<(), Denied> {
        let asked = workload.map_or(Scope::Everything, |name| Scope::only(name.clone()));
        self.may_within(permission, asked)
    }

    /// Whether he may do this to any workload at all: for lists, which then
    /// hold only what he [`Principal::sees`].
    ///
    /// # Errors
    /// [`Denied::Role`].
    pub fn may_somewhere(&self, permission: Permission) -> Result<(), Denied> {
        if self.roles.give(permission) {
            return Ok(());
        }
        Err(Denied::Role { permission, needed: permission.roles(), held: self.roles })
    }

    /// Whether `workload` exists as far as he is concerned.
    pub fn sees(&self, workload: &WorkloadName) -> bool {
        self.scope.sees(workload)
    }

    /// Whether he may see and revoke this token: one that reaches nowhere he
    /// does not reach himself.
    ///
    /// # Errors
    /// [`Denied::Role`], [`Denied::OutsideScope`].
    pub fn may_manage(&self, token: &TokenRecord) -> Result<(), Denied> {
        self.may_within(Permission::ManageTokens, token.scope.clone())
    }

    /// The right to make a token with these roles and this scope: nothing that
    /// he does not have himself.
    ///
    /// # Errors
    /// [`Denied`], each with what was asked and what he has.
    pub fn grant(&self, roles: Roles, scope: Scope) -> Result<Grant, Denied> {
        self.may_somewhere(Permission::ManageTokens)?;
        if !self.roles.cover(roles) {
            return Err(Denied::Escalation { asked: roles, held: self.roles });
        }
        if !self.scope.covers(&scope) {
            return Err(Denied::OutsideScope { asked: scope });
        }
        let made_by = match &self.made_by {
            None => Lineage::of(self.subject.clone()),
            Some(makers) => makers.below(self.subject.clone()).ok_or(Denied::TooDeep)?,
        };
        Ok(Grant { roles, scope, made_by })
    }

    fn may_within(&self, permission: Permission, asked: Scope) -> Result<(), Denied> {
        self.may_somewhere(permission)?;
        if self.scope.covers(&asked) { Ok(()) } else { Err(Denied::OutsideScope { asked }) }
    }
}

/// The right to make one token: what it may do, where, and in whose name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub(super) roles: Roles,
    pub(super) scope: Scope,
    pub(super) made_by: Lineage,
}

impl Grant {
    /// For the command that makes the first token: whoever can write to the
    /// store on the machine itself needs nobody's permission. Never to be
    /// called for a request from the network.
    pub fn danger_of_the_machine(user: &str, roles: Roles, scope: Scope) -> Self {
        Self { roles, scope, made_by: Lineage::of(Subject::local(user)) }
    }
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// None of his roles gives the permission.
    Role {
        /// The permission.
        permission: Permission,
        /// The roles that give it.
        needed: Roles,
        /// The roles he has.
        held: Roles,
    },
    /// His roles would do, but not there.
    OutsideScope {
        /// What was asked for; [`Scope::Everything`] is the installation as a whole.
        asked: Scope,
    },
    /// A token for more than he may do himself.
    Escalation {
        /// The roles asked for.
        asked: Roles,
        /// The roles he has.
        held: Roles,
    },
    /// His token was made by a token made by a token …
    TooDeep,
}

/// What whoever was denied may learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure {
    /// That it was denied: status 403, and [`Denied`]'s text.
    Forbidden,
    /// Nothing: the same 404 that what does not exist gives.
    NotFound,
}

impl Denied {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Role { .. } => "role-missing",
            Self::OutsideScope { asked: Scope::Everything } => "installation-wide",
            Self::OutsideScope { asked: Scope::Workloads(_) } => "outside-scope",
            Self::Escalation { .. } => "escalation",
            Self::TooDeep => "token-lineage-too-long",
        }
    }

    /// What the caller may learn of it. The audit has everything.
    pub fn disclosure(&self) -> Disclosure {
        match self {
            Self::OutsideScope { asked: Scope::Workloads(_) } => Disclosure::NotFound,
            Self::Role { .. } | Self::OutsideScope { .. } | Self::Escalation { .. } | Self::TooDeep => {
                Disclosure::Forbidden
            }
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role { permission, needed, held } => {
                write!(f, "{permission} needs one of the roles {needed}; these credentials have {held}")
            }
            Self::OutsideScope { asked: Scope::Everything } => {
                f.write_str("this concerns the whole installation; these credentials are for some workloads")
            }
            Self::OutsideScope { asked } => write!(f, "{asked} lies outside the scope of these credentials"),
            Self::Escalation { asked, held } => {
                write!(f, "a token with {asked} would do more than these credentials, which have {held}")
            }
            Self::TooDeep => {
                write!(f, "this token's lineage has {} makers, the most there may be", Lineage::MAX)
            }
        }
    }
}

impl std::error::Error for Denied {}
