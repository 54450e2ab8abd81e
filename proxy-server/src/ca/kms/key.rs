use std::fmt;

use crate::aws::{AwsEndpoint, BadEndpoint};

/// Which KMS key is the root, and where it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsKey {
    arn: String,
    region: String,
    endpoint: Option<AwsEndpoint>,
}

impl KmsKey {
    /// Reads a key's ARN, `arn:aws:kms:REGION:ACCOUNT:key/ID` ("Key ARN" of the
    /// AWS KMS developer guide's "Key identifiers"), in any partition.
    ///
    /// An alias is refused: whoever moves it would make another root of the next
    /// start, and replicas would not take each other's sessions.
    ///
    /// # Errors
    /// [`BadKmsKey`].
    pub fn new(arn: &str) -> Result<Self, BadKmsKey> {
        let parts: Vec<&str> = arn.split(':').collect();
        let &["arn", partition, "kms", region, account, resource] = parts.as_slice() else {
            return Err(BadKmsKey::NotAnArn);
        };
        if resource.starts_with("alias/") {
            return Err(BadKmsKey::Alias);
        }
        let word = |text: &str| {
            !text.is_empty()
                && text.len() <= 64
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let id = resource.strip_prefix("key/").unwrap_or_default();
        let account_ok = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if !(partition.starts_with("aws") && [partition, region, id].into_iter().all(word) && account_ok) {
            return Err(BadKmsKey::NotAnArn);
        }
        Ok(Self { arn: arn.to_owned(), region: region.to_owned(), endpoint: None })
    }

    /// Asks at this address instead of the region's own: whoever can write into an answer names a root key of
    /// his own.
    ///
    /// # Errors
    /// [`BadKmsKey::Endpoint`].
    pub fn at(mut self, endpoint: &str) -> Result<Self, BadKmsKey> {
        self.endpoint = Some(endpoint.parse().map_err(BadKmsKey::Endpoint)?);
        Ok(self)
    }

    /// The ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    pub(crate) fn endpoint(&self) -> Option<&AwsEndpoint> {
        self.endpoint.as_ref()
    }
}

/// Why a text names no KMS key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKmsKey {
    /// It is not the ARN of a key.
    NotAnArn,
    /// It is an alias.
    Alias,
    /// The endpoint is no URL, or not a safe one.
    Endpoint(BadEndpoint),
}

impl fmt::Display for BadKmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Endpoint(error) => return error.fmt(f),
            Self::NotAnArn => {
                "expected a key's ARN, as \"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-…\""
            }
            Self::Alias => {
                "expected the ARN of a key, not of an alias, which could be moved to another key while replicas run"
            }
        };
        f.write_str(text)
    }
}

impl std::error::Error for BadKmsKey {}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn the_region_is_the_arns() {
        let key = KmsKey::new(ARN).unwrap();
        assert_eq!((key.arn(), key.region(), key.endpoint()), (ARN, "eu-central-1", None));
        let multi = "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
        assert_eq!(KmsKey::new(multi).unwrap().region(), "us-gov-west-1");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for (text, why) in [
            ("", BadKmsKey::NotAnArn),
            ("1234abcd-12ab-34cd-56ef-1234567890ab", BadKmsKey::NotAnArn),
            ("arn:aws:kms:eu-central-1:111122223333:alias/root", BadKmsKey::Alias),
            ("arn:aws:s3:eu-central-1:111122223333:key/1", BadKmsKey::NotAnArn),
            ("arn:aws:kms:eu-central-1:11112222333:key/1", BadKmsKey::NotAnArn),
            ("arn:aws:kms:eu.evil/:111122223333:key/1", BadKmsKey::NotAnArn),
            ("arn:aws:kms::111122223333:key/1", BadKmsKey::NotAnArn),
            ("arn:aws:kms:eu-central-1:111122223333:key/", BadKmsKey::NotAnArn),
            ("arn:aws:kms:eu-central-1:111122223333:key/1:2", BadKmsKey::NotAnArn),
            ("arn:gcp:kms:eu-central-1:111122223333:key/1", BadKmsKey::NotAnArn),
        ] {
            assert_eq!(KmsKey::new(text), Err(why), "{text}");
        }
    }

    #[test]
    fn another_endpoint_is_a_safe_one() {
        let at = |endpoint| KmsKey::new(ARN).unwrap().at(endpoint);
        let here = at("http://127.0.0.1:5000").unwrap();
        assert_eq!(here.endpoint().map(AwsEndpoint::as_str), Some("http://127.0.0.1:5000"));
        assert_eq!(at("http://10.0.0.1"), Err(BadKmsKey::Endpoint(BadEndpoint)));
    }
}
