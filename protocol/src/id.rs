use std::{fmt, str::FromStr};

use aws_lc_rs::digest;

/// Names one session. Random, given by the proxy, useless without the session's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; 16]);

/// Names one start of an enclave's client: random bytes made once by each process.
/// With a sequence number that only grows it orders the attestations of one boot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BootId([u8; 16]);

/// SHA-256 of a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7): which key, in 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyThumbprint([u8; 32]);

/// The version of the allow policy; grows by one with each change and never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// The name of one proxy installation, part of the binder: evidence made for
/// one deployment is worth nothing at another. 1 to 64 of `a-z A-Z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Deployment(String);

impl KeyThumbprint {
    /// The thumbprint of a DER-encoded SubjectPublicKeyInfo.
    pub fn of_spki(spki_der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, spki_der).as_ref());
        Self(bytes)
    }
}

impl Deployment {
    /// The longest name, in bytes.
    pub const MAX: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Deployment {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (1..=Self::MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError { what: "deployment", rule: "1 to 64 of a-z A-Z 0-9 . _ -" })
        }
    }
}

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Text or bytes that are not the identifier they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdError {
    what: &'static str,
    rule: &'static str,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} is {}", self.what, self.rule)
    }
}

impl std::error::Error for IdError {}

/// Fixed-size identifiers: bytes inside, lower-case hex outside.
macro_rules! identifier {
    ($name:ident, $len:literal, $what:literal, $rule:literal) => {
        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps the bytes.
            pub fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;

            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                let bytes = bytes.try_into().map_err(|_| IdError { what: $what, rule: $rule })?;
                Ok(Self(bytes))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError { what: $what, rule: $rule })?;
                Ok(Self(bytes))
            }
        }
    };
}

identifier!(SessionId, 16, "session id", "16 bytes, 32 hex digits in text");
identifier!(BootId, 16, "boot id", "16 bytes, 32 hex digits in text");
identifier!(KeyThumbprint, 32, "key thumbprint", "32 bytes, 64 hex digits in text");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_survive_their_text() {
        let id = SessionId::from_bytes([0xa5; 16]);
        assert_eq!(id.to_string(), "a5".repeat(16));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            "a5".parse::<SessionId>().unwrap_err().to_string(),
            "a session id is 16 bytes, 32 hex digits in text"
        );
        assert!(BootId::try_from(&[0u8; 15][..]).is_err());
    }

    #[test]
    fn a_deployment_has_no_room_for_tricks() {
        assert_eq!("prod-eu.1".parse::<Deployment>().unwrap().as_str(), "prod-eu.1");
        for bad in ["", "a b", "é", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<Deployment>().is_err(), "{bad:?}");
        }
    }
}
