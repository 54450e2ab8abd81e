use std::{fmt, str::FromStr};

use super::Region;

/// `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`, or `…:alias/NAME`.
///
/// An alias may be listed so that requests can name it; the key that an answer names must be listed by
/// its own ARN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyArn(Box<str>);

impl KeyArn {
    /// Whether a request's `KeyId` means this key: the ARN itself, or its last part in the ARN's own region.
    pub(super) fn is_named(&self, key: &str, region: &Region) -> bool {
        let mut parts = self.0.splitn(6, ':').skip(3);
        let (own_region, resource) = (parts.next(), parts.nth(1).unwrap_or_default());
        let short = resource.strip_prefix("key/").unwrap_or(resource);
        *self.0 == *key || (own_region == Some(region.as_str()) && short == key)
    }

    /// Whether this is it, letter for letter.
    pub(super) fn is(&self, arn: &str) -> bool {
        *self.0 == *arn
    }

    /// Whether it is a key itself and no alias, which may be another's tomorrow.
    pub(super) fn is_key(&self) -> bool {
        self.0.contains(":key/")
    }
}

impl FromStr for KeyArn {
    type Err = KeyArnError;

    fn from_str(text: &str) -> Result<Self, KeyArnError> {
        let parts: Vec<_> = text.splitn(6, ':').collect();
        let ["arn", partition, "kms", region, account, resource] = parts[..] else { return Err(KeyArnError) };
        let name = resource.strip_prefix("key/").or_else(|| resource.strip_prefix("alias/"));
        let named = name.is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()));
        let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let right = partition.starts_with("aws") && region.parse::<Region>().is_ok() && digits && named;
        if right { Ok(Self(text.into())) } else { Err(KeyArnError) }
    }
}

impl fmt::Display for KeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not the ARN of a key or an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyArnError;

impl fmt::Display for KeyArnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not arn:PARTITION:kms:REGION:ACCOUNT:key/ID (or :alias/NAME)")
    }
}

impl std::error::Error for KeyArnError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_arn_is_not_listed() {
        for text in
            ["", "alias/x", "arn:aws:s3:eu-west-1:111122223333:key/a", "arn:aws:kms:eu-west-1:1:key/a"]
        {
            assert_eq!(text.parse::<KeyArn>(), Err(KeyArnError), "{text}");
        }
        assert!("arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1".parse::<KeyArn>().is_ok());
    }
}
