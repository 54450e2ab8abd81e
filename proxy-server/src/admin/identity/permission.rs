use std::fmt;

use super::{Role, Roles};

/// One kind of act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// To see workloads, measurements and sessions.
    Read,
    /// To see the audit.
    ReadAudit,
    /// To revoke a measurement or a workload.
    Revoke,
    /// To end a session.
    EndSession,
    /// To add or alter workloads and measurements, and to lift tombstones.
    Change,
    /// To approve what somebody else changed.
    Approve,
    /// To make, see and revoke API tokens.
    ManageTokens,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::ReadAudit,
        Self::Revoke,
        Self::EndSession,
        Self::Change,
        Self::Approve,
        Self::ManageTokens,
    ];

    /// The table of roles. To stop something is for operators, to allow
    /// something is not: whoever is awake at night may revoke.
    pub fn is_given_to(self, role: Role) -> bool {
        match self {
            Self::Read | Self::ReadAudit => true,
            Self::Revoke | Self::EndSession => matches!(role, Role::Operator | Role::Admin),
            Self::Approve => matches!(role, Role::Approver | Role::Admin),
            Self::Change | Self::ManageTokens => role == Role::Admin,
        }
    }

    /// The roles that give it, for an error to name.
    pub fn roles(self) -> Roles {
        // Admins may do everything, so the fallback is what the table says anyway.
        Roles::of(Role::ALL.into_iter().filter(|role| self.is_given_to(*role)))
            .unwrap_or_else(|| Role::Admin.into())
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadAudit => "read-audit",
            Self::Revoke => "revoke",
            Self::EndSession => "end-session",
            Self::Change => "change",
            Self::Approve => "approve",
            Self::ManageTokens => "manage-tokens",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, written out a second time so that a change needs two hands.
    #[test]
    fn the_table_of_roles() {
        use Permission::*;
        let table: [(Role, &[Permission]); 4] = [
            (Role::Viewer, &[Read, ReadAudit]),
            (Role::Operator, &[Read, ReadAudit, Revoke, EndSession]),
            (Role::Approver, &[Read, ReadAudit, Approve]),
            (Role::Admin, &Permission::ALL),
        ];
        for (role, given) in table {
            let found: Vec<_> = Permission::ALL.into_iter().filter(|p| p.is_given_to(role)).collect();
            assert_eq!(found, given, "{role}");
        }
        assert_eq!(EndSession.roles().to_string(), "operator,admin");
    }
}
