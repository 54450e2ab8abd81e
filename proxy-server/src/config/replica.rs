use std::{fmt, str::FromStr};

/// How a replica is called, in answers and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaName(String);

impl ReplicaName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ReplicaName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
            return Err("expected 1 to 64 of a-z, A-Z, 0-9 and . _ -");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ReplicaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
