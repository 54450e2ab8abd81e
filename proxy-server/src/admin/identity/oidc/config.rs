use std::{collections::HashMap, fmt, io, path::PathBuf};

use serde_json::{Map, Value};

use super::{Issuer, SignInConfig};
use crate::admin::identity::Roles;

/// What the configuration says about the OpenID provider.
#[derive(Clone, Debug)]
pub struct OidcConfig {
    /// Who signs.
    pub issuer: Issuer,
    /// For whom tokens must be made: one of a token's `aud`.
    pub audience: String,
    /// Where a token says what its holder is.
    pub roles_claim: ClaimPath,
    /// What that means here.
    pub roles: RoleMap,
    /// On which workloads its holder may act.
    pub workloads: WorkloadsFrom,
    /// How people sign in there with their browser; `None` is not at all.
    pub sign_in: Option<SignInConfig>,
    /// More CAs (PEM) for the provider's certificate, beside the public ones.
    pub ca_file: Option<PathBuf>,
}

/// Where the scope comes from. There is no default: whoever means everything says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadsFrom {
    /// Every token is for the whole installation.
    Everything,
    /// From this claim: names of workloads, or `*`. A token without it is refused.
    Claim(ClaimPath),
}

/// What a provider's words mean here.
#[derive(Clone, Debug)]
pub struct RoleMap(HashMap<String, Roles>);

impl RoleMap {
    /// A provider's word and our roles, for each of them.
    ///
    /// # Errors
    /// [`BadOidcConfig::RoleTwice`], [`BadOidcConfig::NoRoles`].
    pub fn new(words: impl IntoIterator<Item = (String, Roles)>) -> Result<Self, BadOidcConfig> {
        let mut map = HashMap::new();
        for (word, roles) in words {
            if map.insert(word.clone(), roles).is_some() {
                return Err(BadOidcConfig::RoleTwice { word });
            }
        }
        if map.is_empty() { Err(BadOidcConfig::NoRoles) } else { Ok(Self(map)) }
    }

    /// All roles that these words give; `None` when they give none.
    pub(super) fn roles<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Option<Roles> {
        Roles::of(words.into_iter().filter_map(|word| self.0.get(word)).flat_map(|roles| roles.iter()))
    }
}

/// Where a claim stands: `groups`, or `realm_access.roles` for a value inside
/// an object. A claim whose whole name has dots in it (`https://a.example/roles`)
/// goes before one inside objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Box<str>);

impl ClaimPath {
    /// The deepest, in parts.
    pub const MAX_DEPTH: usize = 8;

    /// A path of 1 to 8 parts, none of them empty.
    ///
    /// # Errors
    /// [`BadOidcConfig::ClaimPath`].
    pub fn new(text: &str) -> Result<Self, BadOidcConfig> {
        let parts = text.split('.');
        if text.len() > 255 || parts.clone().count() > Self::MAX_DEPTH || parts.clone().any(str::is_empty) {
            return Err(BadOidcConfig::ClaimPath { found: text.chars().take(255).collect() });
        }
        Ok(Self(text.into()))
    }

    /// The value there.
    pub(super) fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        claims.get(&*self.0).or_else(|| {
            let mut parts = self.0.split('.');
            let first = claims.get(parts.next()?)?;
            parts.try_fold(first, |value, part| value.as_object()?.get(part))
        })
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a configuration of a provider is none.
#[derive(Debug)]
pub enum BadOidcConfig {
    /// The audience is empty.
    NoAudience,
    /// No word of the provider gives a role, so nobody could ever log in.
    NoRoles,
    /// One word has two lines.
    RoleTwice {
        /// The word.
        word: String,
    },
    /// A path with an empty part, or one that is too long.
    ClaimPath {
        /// What was written.
        found: String,
    },
    /// The file of CAs cannot be read.
    CaFile {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file of CAs holds something else, or nothing.
    NotCas {
        /// Which file.
        path: PathBuf,
    },
    /// The TLS library refuses its own defaults.
    Tls {
        /// What it says.
        source: rustls::Error,
    },
}

impl fmt::Display for BadOidcConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAudience => f.write_str("the audience is empty: tokens for any service would do"),
            Self::NoRoles => f.write_str("no value of the roles claim is mapped to a role"),
            Self::RoleTwice { word } => write!(f, "the value {word:?} is mapped twice"),
            Self::ClaimPath { found } => {
                write!(f, "expected a claim such as groups or realm_access.roles; found {found:?}")
            }
            Self::CaFile { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::NotCas { path } => write!(f, "{} holds no CA certificates in PEM", path.display()),
            Self::Tls { .. } => f.write_str("TLS to the provider cannot be set up"),
        }
    }
}

impl std::error::Error for BadOidcConfig {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::CaFile { source, .. } => Some(source),
            Self::Tls { source } => Some(source),
            Self::NoAudience
            | Self::NoRoles
            | Self::RoleTwice { .. }
            | Self::ClaimPath { .. }
            | Self::NotCas { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admin::identity::Role;

    #[test]
    fn a_claim_is_found_by_its_whole_name_or_inside_objects() {
        let claims = json!({
            "groups": "g", "realm_access": {"roles": ["r"], "deep": {"er": 1}}, "https://a.example/roles": "n", "a.b": 1, "a": {"b": 2},
        });
        let claims = claims.as_object().unwrap();
        let find = |path: &str| ClaimPath::new(path).unwrap().find(claims).cloned();
        assert_eq!(find("groups"), Some(json!("g")));
        assert_eq!(find("realm_access.roles"), Some(json!(["r"])));
        assert_eq!(find("realm_access.deep.er"), Some(json!(1)));
        assert_eq!(find("https://a.example/roles"), Some(json!("n")));
        assert_eq!(find("a.b"), Some(json!(1)));
        assert_eq!(find("groups.x"), None);
        assert_eq!(find("absent"), None);
    }

    #[test]
    fn paths_and_maps_that_mean_nothing_are_mistakes() {
        for bad in ["", ".", "a.", ".a", "a..b", "a.b.c.d.e.f.g.h.i"] {
            assert!(matches!(ClaimPath::new(bad), Err(BadOidcConfig::ClaimPath { .. })), "{bad}");
        }
        assert!(matches!(RoleMap::new([]), Err(BadOidcConfig::NoRoles)));
        let twice = [("a".to_owned(), Role::Viewer.into()), ("a".to_owned(), Role::Admin.into())];
        assert!(matches!(RoleMap::new(twice), Err(BadOidcConfig::RoleTwice { word }) if word == "a"));
    }

    #[test]
    fn words_that_are_not_mapped_give_nothing() {
        let map = RoleMap::new([
            ("ops".to_owned(), Role::Operator.into()),
            ("leads".to_owned(), Roles::from(Role::Operator).with(Role::Approver)),
        ])
        .unwrap();
        assert_eq!(map.roles(["x", "leads", "ops"]), "operator,approver".parse().ok());
        assert_eq!(map.roles(["admin", "Ops"]), None);
        assert_eq!(map.roles([]), None);
    }
}
