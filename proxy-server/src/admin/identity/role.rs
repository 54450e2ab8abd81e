use std::{fmt, str::FromStr};

use super::Permission;

/// What kind of acts somebody may do; [`Permission`] has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Sees, changes nothing.
    Viewer,
    /// Revokes and ends sessions: stops things, allows nothing.
    Operator,
    /// Approves changes that others made.
    Approver,
    /// Changes everything and manages tokens.
    Admin,
}

impl Role {
    /// Every role, the weakest first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// Its name, in the store, in configuration and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = BadRoles;

    fn from_str(text: &str) -> Result<Self, BadRoles> {
        let known = Self::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| BadRoles::Unknown { found: text.chars().take(LONGEST_ECHO).collect() })
    }
}

/// One role or more. There is no empty set: whoever has no role is nobody.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Roles(u8);

impl Roles {
    /// The roles in `roles`; `None` when there are none.
    pub fn of(roles: impl IntoIterator<Item = Role>) -> Option<Self> {
        let bits = roles.into_iter().fold(0, |bits, role| bits | role.bit());
        (bits != 0).then_some(Self(bits))
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }

    /// Whether `role` is among them.
    pub fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Each of them, the weakest first.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }

    /// Whether one of them gives the permission.
    pub fn give(self, permission: Permission) -> bool {
        self.iter().any(|role| permission.is_given_to(role))
    }

    /// Whether everything that `others` give is given by these too: then giving
    /// `others` away gives nothing that the giver has not.
    pub fn cover(self, others: Self) -> bool {
        Permission::ALL.into_iter().all(|permission| self.give(permission) || !others.give(permission))
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self(role.bit())
    }
}

/// The store's text: names with a comma between them, `viewer,operator`.
impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, role) in self.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{role}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roles({self})")
    }
}

/// From the store's text. A name that stands twice is a mistake.
impl FromStr for Roles {
    type Err = BadRoles;

    fn from_str(text: &str) -> Result<Self, BadRoles> {
        if text.is_empty() {
            return Err(BadRoles::None);
        }
        text.split(',')
            .try_fold(None, |roles: Option<Self>, name| {
                let role: Role = name.parse()?;
                match roles {
                    Some(roles) if roles.has(role) => Err(BadRoles::Twice { role }),
                    Some(roles) => Ok(Some(roles.with(role))),
                    None => Ok(Some(role.into())),
                }
            })?
            .ok_or(BadRoles::None)
    }
}

/// Text that names no roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRoles {
    /// There is nothing in it.
    None,
    /// It names something else.
    Unknown {
        /// What it names.
        found: String,
    },
    /// It names one of them twice.
    Twice {
        /// Which.
        role: Role,
    },
}

impl fmt::Display for BadRoles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no role; at least one of viewer, operator, approver, admin is needed"),
            Self::Unknown { found } => {
                write!(f, "expected a role (viewer, operator, approver, admin); found {found:?}")
            }
            Self::Twice { role } => write!(f, "the role {role} stands twice"),
        }
    }
}

impl std::error::Error for BadRoles {}

/// A mistake shows no more of foreign text than this many characters.
const LONGEST_ECHO: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_text_is_read_back() {
        for bits in 1..16 {
            let roles = Roles::of(Role::ALL.into_iter().filter(|role| role.bit() & bits != 0)).unwrap();
            assert_eq!(roles.to_string().parse(), Ok(roles));
        }
        let roles: Roles = "admin,viewer".parse().unwrap();
        assert_eq!(roles.to_string(), "viewer,admin");
    }

    #[test]
    fn what_names_no_roles_is_told_apart() {
        assert_eq!("".parse::<Roles>(), Err(BadRoles::None));
        assert_eq!("admin,admin".parse::<Roles>(), Err(BadRoles::Twice { role: Role::Admin }));
        for bad in ["Admin", "admin,", ",admin", "admin, viewer", "root", " "] {
            assert!(matches!(bad.parse::<Roles>(), Err(BadRoles::Unknown { .. })), "{bad:?}");
        }
        assert_eq!(Roles::of([]), None);
    }

    #[test]
    fn only_what_gives_no_more_is_covered() {
        let roles = |text: &str| text.parse::<Roles>().unwrap();
        for weaker in Role::ALL {
            assert!(roles("admin").cover(weaker.into()), "{weaker}");
            assert!(Roles::from(weaker).cover(Role::Viewer.into()), "{weaker} sees what a viewer sees");
        }
        assert!(!roles("operator").cover(roles("approver")));
        assert!(!roles("approver").cover(roles("operator")));
        assert!(roles("operator,approver").cover(roles("approver")));
        assert!(!roles("viewer,operator,approver").cover(roles("admin")));
    }
}
