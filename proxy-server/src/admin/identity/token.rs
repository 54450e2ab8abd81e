use std::{fmt, str::FromStr};

use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// An API token: `cst_` and 48 characters of base64url, which are 32 random
/// bytes and 4 bytes of checksum.
///
/// 36 bytes fill 48 characters exactly: one token has one spelling. The prefix
/// is for secret scanners, and tells a token from a JWT. The checksum is for
/// people: a token cut short by a copy is told from one that nobody knows,
/// without a look into the store. It protects nothing.
///
/// It is shown once ([`ApiToken::reveal`]) and wiped when dropped.
pub struct ApiToken(Zeroizing<[u8; SECRET]>);

impl ApiToken {
    /// How every token begins.
    pub const PREFIX: &'static str = "cst_";

    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomness`] when the system gives none.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut secret = Zeroizing::new([0; SECRET]);
        rand::fill(secret.as_mut_slice()).map_err(|_| NoRandomness)?;
        Ok(Self(secret))
    }

    /// The text, for the one time it is shown.
    pub fn reveal(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; SECRET + CHECKSUM]);
        bytes[..SECRET].copy_from_slice(self.0.as_slice());
        bytes[SECRET..].copy_from_slice(&checksum(&self.0));
        let mut text = Zeroizing::new(String::with_capacity(LENGTH));
        text.push_str(Self::PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        text
    }

    /// What the store knows of it.
    ///
    /// A fast hash is right here: slow ones (Argon2, scrypt) make guessing
    /// words costly, and these are 256 random bits. Whoever steals the hashes
    /// has 2²⁵⁶ guesses before him, and a slow hash would only let strangers
    /// burn the proxy's time with tokens that do not exist.
    pub fn hash(&self) -> TokenHash {
        let mut hash = [0; HASH];
        hash.copy_from_slice(digest::digest(&digest::SHA256, self.0.as_slice()).as_ref());
        TokenHash(hash)
    }
}

impl FromStr for ApiToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(BadToken::Prefix)?;
        if text.len() != LENGTH {
            return Err(BadToken::Length { found: text.len() });
        }
        let mut bytes = Zeroizing::new([0; SECRET + CHECKSUM]);
        URL_SAFE_NO_PAD.decode_slice(encoded, bytes.as_mut_slice()).map_err(|_| BadToken::Alphabet)?;
        let mut secret = Zeroizing::new([0; SECRET]);
        secret.copy_from_slice(&bytes[..SECRET]);
        if bytes[SECRET..].ct_eq(&checksum(&secret)).into() {
            Ok(Self(secret))
        } else {
            Err(BadToken::Checksum)
        }
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(cst_…)")
    }
}

/// SHA-256 of a token's random bytes: how the store knows it. Compared in
/// constant time. The store may look it up in an index: to learn something from
/// the time of that, one would have to choose hashes, which means to find
/// preimages.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; HASH]);

impl TokenHash {
    /// As it stands in the store.
    pub fn from_bytes(bytes: [u8; HASH]) -> Self {
        Self(bytes)
    }

    /// For the store.
    pub fn as_bytes(&self) -> &[u8; HASH] {
        &self.0
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}…)", hex::encode(&self.0[..4]))
    }
}

/// Why a text is no token. Nothing of the text is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadToken {
    /// It does not begin with `cst_`.
    Prefix,
    /// It is too short or too long.
    Length {
        /// Its bytes.
        found: usize,
    },
    /// It has a character that is not of base64url.
    Alphabet,
    /// A character is not the one it was.
    Checksum,
}

impl fmt::Display for BadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix => write!(f, "an API token begins with {}", ApiToken::PREFIX),
            Self::Length { found } => write!(f, "an API token has {LENGTH} characters; found {found}"),
            Self::Alphabet => f.write_str("an API token has only letters, digits, - and _"),
            Self::Checksum => f.write_str("the API token's checksum is wrong: a character was changed"),
        }
    }
}

impl std::error::Error for BadToken {}

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gives no random bytes")
    }
}

impl std::error::Error for NoRandomness {}

/// Under a label of its own, so that the checksum is no part of [`TokenHash`].
fn checksum(secret: &[u8; SECRET]) -> [u8; CHECKSUM] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"countersign-token-checksum-v1");
    context.update(secret);
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&context.finish().as_ref()[..CHECKSUM]);
    sum
}

const SECRET: usize = 32;
const CHECKSUM: usize = 4;
const HASH: usize = 32;
const LENGTH: usize = ApiToken::PREFIX.len() + (SECRET + CHECKSUM) / 3 * 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_differs_from_the_next() {
        let (one, two) = (ApiToken::generate().unwrap(), ApiToken::generate().unwrap());
        let text = one.reveal();
        assert_eq!(text.len(), 52);
        assert_eq!(text.parse::<ApiToken>().unwrap().hash(), one.hash());
        assert_ne!(one.hash(), two.hash());
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let text = ApiToken(Zeroizing::new([7; 32])).reveal();
        for position in ApiToken::PREFIX.len()..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[position] = if changed[position] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(changed.parse::<ApiToken>().unwrap_err(), BadToken::Checksum, "{position}");
        }
    }

    #[test]
    fn what_is_no_token_is_told_apart() {
        let text = ApiToken(Zeroizing::new([7; 32])).reveal();
        let bad = |text: &str| text.parse::<ApiToken>().unwrap_err();
        assert_eq!(bad(""), BadToken::Prefix);
        assert_eq!(bad("CST_x"), BadToken::Prefix);
        assert_eq!(bad(&text[..51]), BadToken::Length { found: 51 });
        assert_eq!(bad(&format!("{}=", text.as_str())), BadToken::Length { found: 53 });
        assert_eq!(bad(&format!("{}+", &text[..51])), BadToken::Alphabet);
        assert_eq!(bad(&format!("{}é", &text[..50])), BadToken::Alphabet);
    }

    #[test]
    fn no_form_for_people_shows_the_secret() {
        let token = ApiToken(Zeroizing::new([7; 32]));
        assert_eq!(format!("{token:?}"), "ApiToken(cst_…)");
        assert_eq!(format!("{:?}", token.hash()).len(), "TokenHash(01234567…)".len());
    }
}
