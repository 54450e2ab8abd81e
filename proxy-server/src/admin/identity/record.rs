use std::{fmt, str::FromStr, time::Duration};

use aws_lc_rs::rand;

use super::{ApiToken, Grant, Lineage, NoRandomness, Roles, Scope, TokenHash};
use crate::store::{Answer, UnixMs};

/// What the store has of a token. The token itself is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its name for machines, public.
    pub id: TokenId,
    /// Its name for people.
    pub name: TokenName,
    /// How it is recognised.
    pub hash: TokenHash,
    /// What its holder may do.
    pub roles: Roles,
    /// On which workloads.
    pub scope: Scope,
    /// Who made it.
    pub created_by: Lineage,
    /// When it was made.
    pub created: UnixMs,
    /// When it ends: always set, at most [`TokenLife::MAX`] later.
    pub expires: UnixMs,
    /// When it was last seen, to the minute.
    pub last_used: Option<UnixMs>,
    /// When it was revoked.
    pub revoked: Option<UnixMs>,
}

impl TokenRecord {
    /// A new token and what the store keeps of it.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn make(
        grant: Grant,
        name: TokenName,
        life: TokenLife,
        now: UnixMs,
    ) -> Result<(ApiToken, Self), NoRandomness> {
        let token = ApiToken::generate()?;
        let Grant { roles, scope, made_by } = grant;
        let record = Self {
            id: TokenId::generate()?,
            name,
            hash: token.hash(),
            roles,
            scope,
            created_by: made_by,
            created: now,
            expires: after(now, life.0),
            last_used: None,
            revoked: None,
        };
        Ok((token, record))
    }

    /// Whether it still counts at `now`. A row that says it lives longer than
    /// any token may ends when the longest one would.
    ///
    /// # Errors
    /// [`TokenUnusable`].
    pub fn usable(&self, now: UnixMs) -> Result<(), TokenUnusable> {
        if let Some(at) = self.revoked {
            return Err(TokenUnusable::Revoked { at });
        }
        let at = self.expires.min(after(self.created, TokenLife::MAX));
        if now >= at { Err(TokenUnusable::Expired { at }) } else { Ok(()) }
    }
}

/// Where tokens are kept: the seam to the store.
pub trait Tokens: Send + Sync {
    /// The record with this hash, of whatever state. The answer must be the
    /// store's, never a cache's: a revoked token ends at once.
    fn find<'a>(&'a self, hash: &'a TokenHash) -> Answer<'a, Option<TokenRecord>>;

    /// Notes that a token was used. Must not wait: the note is worth less than
    /// the request it belongs to. Told at most about once a minute for a token.
    fn used(&self, id: &TokenId, at: UnixMs);
}

/// Why a token that the store knows does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUnusable {
    /// Its time is over.
    Expired {
        /// Since when.
        at: UnixMs,
    },
    /// Somebody revoked it.
    Revoked {
        /// When.
        at: UnixMs,
    },
}

impl fmt::Display for TokenUnusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { at } => write!(f, "the API token expired at {at}"),
            Self::Revoked { at } => write!(f, "the API token was revoked at {at}"),
        }
    }
}

impl std::error::Error for TokenUnusable {}

/// A token's public id: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId([u8; 16]);

impl TokenId {
    /// As it stands in the store.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// For the store.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for TokenId {
    type Err = BadTokenId;

    fn from_str(text: &str) -> Result<Self, BadTokenId> {
        let mut bytes = [0; 16];
        let one_spelling = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if one_spelling => Ok(Self(bytes)),
            _ => Err(BadTokenId),
        }
    }
}

/// Text that is no token's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTokenId;

impl fmt::Display for BadTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token's id is 32 hexadecimal digits (0-9 a-f)")
    }
}

impl std::error::Error for BadTokenId {}

/// A token's name for people: 1 to 64 printable ASCII characters, no space at
/// either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenName(Box<str>);

impl TokenName {
    /// The longest name, in bytes.
    pub const MAX: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = BadTokenName;

    fn from_str(text: &str) -> Result<Self, BadTokenName> {
        let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let fits = (1..=Self::MAX).contains(&text.len()) && text.trim() == text;
        if printable && fits { Ok(Self(text.into())) } else { Err(BadTokenName) }
    }
}

/// Text that cannot name a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTokenName;

impl fmt::Display for BadTokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a token's name is 1 to {} printable ASCII characters", TokenName::MAX)
    }
}

impl std::error::Error for BadTokenName {}

/// How long a token lives: one minute to 366 days. None lives for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLife(Duration);

impl TokenLife {
    /// The shortest.
    pub const MIN: Duration = Duration::from_secs(60);
    /// The longest: a year, also a leap year.
    pub const MAX: Duration = Duration::from_secs(366 * 86_400);

    /// So long, when that is neither too short nor too long.
    pub fn new(life: Duration) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&life).then_some(Self(life))
    }
}

fn after(start: UnixMs, life: Duration) -> UnixMs {
    UnixMs(start.0.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::identity::Role;

    const DAY: i64 = 86_400_000;

    fn record(life: Duration) -> TokenRecord {
        let grant = Grant::danger_of_the_machine("root", Role::Viewer.into(), Scope::Everything);
        let life = TokenLife::new(life).unwrap();
        TokenRecord::make(grant, "ci".parse().unwrap(), life, UnixMs(1_000)).unwrap().1
    }

    #[test]
    fn a_token_ends() {
        let mut record = record(Duration::from_secs(60));
        assert_eq!(record.usable(UnixMs(60_999)), Ok(()));
        let at = UnixMs(61_000);
        assert_eq!(record.usable(at), Err(TokenUnusable::Expired { at }));
        record.revoked = Some(UnixMs(5));
        assert_eq!(record.usable(UnixMs(6)), Err(TokenUnusable::Revoked { at: UnixMs(5) }));
    }

    #[test]
    fn no_row_makes_a_token_that_lives_for_ever() {
        let mut record = record(TokenLife::MAX);
        record.expires = UnixMs(i64::MAX);
        let at = UnixMs(1_000 + 366 * DAY);
        assert_eq!(record.usable(UnixMs(at.0 - 1)), Ok(()));
        assert_eq!(record.usable(at), Err(TokenUnusable::Expired { at }));
        for life in [Duration::ZERO, Duration::from_secs(59), TokenLife::MAX + Duration::from_secs(1)] {
            assert_eq!(TokenLife::new(life), None, "{life:?}");
        }
    }

    #[test]
    fn ids_and_names_have_one_spelling() {
        let record = record(Duration::from_secs(60));
        assert_eq!(record.id.to_string().parse(), Ok(record.id));
        for bad in ["", "00", &"F".repeat(32), &format!("{} ", "0".repeat(32)), &"g".repeat(32)] {
            assert_eq!(bad.parse::<TokenId>(), Err(BadTokenId), "{bad:?}");
        }
        assert_eq!("Alice's CI".parse::<TokenName>().unwrap().as_str(), "Alice's CI");
        for bad in ["", " a", "a ", "a\n", "a\u{202e}b", &"x".repeat(65)] {
            assert_eq!(bad.parse::<TokenName>(), Err(BadTokenName), "{bad:?}");
        }
    }
}
