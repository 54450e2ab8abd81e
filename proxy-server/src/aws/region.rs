use std::{fmt, str::FromStr};

/// The name of an AWS region. It becomes part of a host name, so it has room for nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsRegion(String);

impl AwsRegion {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AwsRegion {
    type Err = BadRegion;

    fn from_str(text: &str) -> Result<Self, BadRegion> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let ends = !text.starts_with('-') && !text.ends_with('-');
        if (1..=LONGEST).contains(&text.len()) && ends && text.bytes().all(inner) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadRegion)
        }
    }
}

impl fmt::Display for AwsRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that names no region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRegion;

impl fmt::Display for BadRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a region, as \"eu-central-1\"")
    }
}

impl std::error::Error for BadRegion {}

/// The longest name today has 15 bytes.
const LONGEST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_region_gets_into_no_host_name() {
        assert_eq!("us-gov-west-1".parse::<AwsRegion>().unwrap().as_str(), "us-gov-west-1");
        for bad in ["", "eu-west-1.evil.example/", "EU-WEST-1", "-a", "a-", "ü", &"a".repeat(33)] {
            assert_eq!(bad.parse::<AwsRegion>(), Err(BadRegion), "{bad:?}");
        }
    }
}
